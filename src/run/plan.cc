// A dry run on the meta device up to the context counts the temporaries; the rest is read off the parameters and the state that it left.
#include "run/plan.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "base/parallel.h"
#include "ops/meter.h"
#include "run/session.h"

namespace headrace {

size_t resident_bytes() {
  std::ifstream f("/proc/self/statm");
  size_t all = 0, resident = 0;
  f >> all >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

// Code of kernels, stacks of workers and their scratch: not resident before the first product.
constexpr size_t code_of_kernels = size_t{1152} << 10;
constexpr size_t workspace_of_products = size_t{32} << 20;   // cuda/product.cc

Plan plan_memory(const Loaded& model, int64_t context, int64_t chunk) {
  expect(model.source->device == Device::meta, "plan: wanted a model on the meta device");
  Plan p{.file_bytes = model.file_bytes, .context = context, .chunk = chunk};
  const bool cuda = model.source->plan_for == Device::cuda;
  if (!cuda) p.program = resident_bytes() + code_of_kernels;
  else p.estimate = true, p.products = workspace_of_products;
  size_t largest = 0;
  for (const Parameter& w : model.source->parameters) {
    // While a matrix is packed, some pages of the file under it are resident too, a strip for each thread; of an initialiser's, all rows.
    const size_t rows = bytes_of(w.dtype, w.shape.count());
    p.load_peak = std::max(p.load_peak, p.weights + w.bytes + (model.source->make ? rows : std::min(rows, size_t{4} << 20)));
    if (cuda && w.dtype != DType::f32) largest = std::max(largest, bytes_of(DType::f32, w.shape.count()));
    p.weights += w.bytes;
    p.weights_by_dtype[name(w.dtype)] += w.bytes;
    p.parameters += w.shape.count();
  }
  const Decoder& d = model.model.decoder;
  const std::vector<int32_t> ids(static_cast<size_t>(d.sees_later.empty() ? chunk : context), 0);
  auto grow = [&](State& s, int64_t tokens) {            // returns what it takes
    Meter meter;
    if (!d.sees_later.empty()) {                       // the whole sequence at once, and nothing is kept of it
      Batch whole;
      whole.add(tokens);
      (void)d.logits(d.hidden(std::span(ids).first(static_cast<size_t>(tokens)), whole).slice(0, tokens - 1, 1));
      return meter.flops();
    }
    for (int64_t t = 0; t < tokens;) {
      const int64_t n = std::min(chunk, tokens - t);
      Batch b;
      b.add(n, &s);
      Tensor h = d.hidden(std::span(ids).first(static_cast<size_t>(n)), b);
      t += n;
      if (t == tokens) s.last_logits = d.logits(h.slice(0, n - 1, 1));
    }
    return meter.flops();
  };
  begin_memory_plan();
  State full;
  p.prefill_flops = grow(full, context);
  const size_t dynamic = planned_bytes();
  p.state = full.bytes();
  p.activations = dynamic > p.state ? dynamic - p.state : 0;
  for (size_t l = 0; l < full.layers.size(); ++l)
    for (int i = 0; i < State::slots_per_layer; ++i) {
      const SlotValue& v = full.layers[l].values[i];
      if (!full.layers[l].names[i]) continue;
      size_t kept = 0;
      for (const Tensor& page : v.pages) kept += static_cast<bool>(page);
      p.slots.push_back({static_cast<int>(l), full.layers[l].names[i], v.value ? text(v.value.shape())
          : text(kept, " pages of ", page_tokens, " tokens"), v.bytes()});
      if (v.value) p.state_fixed += v.bytes();
    }
  if (d.sees_later.empty()) {
    State before_last;
    grow(before_last, context - 1);
    p.decode_flops = grow(before_last, 1);
  }
  p.state_per_token = static_cast<double>(p.state - p.state_fixed) / static_cast<double>(context);
  p.products += largest;
  p.total = cuda ? p.weights + dynamic + p.products : p.program + std::max(p.load_peak, p.weights + dynamic);
  return p;
}

}  // namespace headrace
