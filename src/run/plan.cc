// A dry run on the meta device up to the context (a long one: up to shorter ones that it follows from) counts the temporaries; the rest is
// read off the parameters and the state that it left.
#include "run/plan.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <optional>
#include <string_view>

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
constexpr size_t code_of_kernels = size_t{1056} << 10;
constexpr size_t each_thread = size_t{32} << 10;             // beyond the second: its stack and scratch
constexpr size_t workspace_of_products = size_t{32} << 20;   // cuda/product.cc

namespace {

struct Held {
  int layer;
  const char* name;
  std::string value;                                         // its shape; empty: pages
  int64_t pages, bytes;
  bool operator==(const Held&) const = default;
};
// What a sequence of so many tokens comes to. Integers, so that differences are exact.
struct Walked {
  int64_t dynamic = 0, state = 0, fixed = 0;
  double prefill = 0, decode = 0;
  std::vector<Held> slots;
};

// Walks sequences through the layers on the meta device.
struct Walker {
  const Decoder& d;
  int64_t chunk;
  const std::function<void(double tokens)>& progress;        // of the longest walk; may be empty

  double grow(State& s, int64_t tokens, double before, bool tell) const {   // gives what it takes
    Meter meter;
    if (!d.sees_later.empty()) {                             // the whole sequence at once, and nothing is kept of it
      const std::vector<int32_t> ids(static_cast<size_t>(tokens), 0);
      Batch whole;
      whole.add(tokens);
      (void)d.logits(d.hidden(ids, whole).slice(0, tokens - 1, 1));
      return meter.flops();
    }
    const std::vector<int32_t> ids(static_cast<size_t>(std::min(chunk, tokens)), 0);
    for (int64_t t = 0; t < tokens;) {
      const int64_t n = std::min(chunk, tokens - t);
      Batch b;
      b.add(n, &s);
      Tensor h = d.hidden(std::span(ids).first(static_cast<size_t>(n)), b);
      t += n;
      if (t == tokens) s.last_logits = d.logits(h.slice(0, n - 1, 1));
      if (tell && progress) progress(before + static_cast<double>(t));
    }
    return meter.flops();
  }
  Walked walk(int64_t tokens, bool tell = false) const {
    Walked w;
    {
      begin_memory_plan();
      State full;
      w.prefill = grow(full, tokens, 0, tell);
      w.dynamic = static_cast<int64_t>(planned_bytes()), w.state = static_cast<int64_t>(full.bytes());
      for (size_t l = 0; l < full.layers.size(); ++l)
        for (int i = 0; i < State::slots_per_layer; ++i) {
          const SlotValue& v = full.layers[l].values[i];
          if (!full.layers[l].names[i]) continue;
          const auto kept = std::count_if(v.pages.begin(), v.pages.end(), [](const Tensor& page) { return static_cast<bool>(page); });
          w.slots.push_back({static_cast<int>(l), full.layers[l].names[i], v.value ? text(v.value.shape()) : "", kept,
                             static_cast<int64_t>(v.bytes())});
          if (v.value) w.fixed += static_cast<int64_t>(v.bytes());
        }
    }
    if (!d.sees_later.empty()) return w;
    State before_last;
    grow(before_last, tokens - 1, static_cast<double>(tokens), tell);
    w.decode = grow(before_last, 1, 0, false);
    return w;
  }
};

// Beyond every window a state grows by the same pages in the same number of tokens, and attention's cost by the same more: what
// holds for four lengths a step apart goes on so. `k`: steps after the last of them. Nothing where it does not hold.
std::optional<Walked> continued(const std::array<Walked, 4>& w, double k) {
  bool holds = true;
  const auto steady = [&](auto of) {                         // linear
    const int64_t step = of(w[3]) - of(w[2]);
    holds = holds && of(w[2]) - of(w[1]) == step && of(w[1]) - of(w[0]) == step;
    return of(w[3]) + static_cast<int64_t>(k) * step;
  };
  const auto growing = [&](double Walked::*of) {             // quadratic; sums of integers, but for the rounding of large ones
    const double a = w[0].*of, b = w[1].*of, c = w[2].*of, e = w[3].*of, step = e - c, more = (e - c) - (c - b);
    holds = holds && std::abs(more - ((c - b) - (b - a))) <= 1e-12 * std::abs(e);
    return e + k * step + k * (k + 1) / 2 * more;
  };
  Walked all{.dynamic = steady([](const Walked& x) { return x.dynamic; }), .state = steady([](const Walked& x) { return x.state; }),
             .fixed = steady([](const Walked& x) { return x.fixed; }), .prefill = growing(&Walked::prefill), .decode = growing(&Walked::decode),
             .slots = w[3].slots};
  for (size_t i = 0; i < all.slots.size(); ++i) {
    const auto same = [&](const Walked& x) {
      return x.slots.size() == all.slots.size() && x.slots[i].layer == w[3].slots[i].layer && x.slots[i].value == w[3].slots[i].value;
    };
    if (!std::all_of(w.begin(), w.end(), same)) return {};
    all.slots[i].pages = steady([i](const Walked& x) { return x.slots[i].pages; });
    all.slots[i].bytes = steady([i](const Walked& x) { return x.slots[i].bytes; });
  }
  return holds ? std::optional(all) : std::nullopt;
}
bool agree(const Walked& a, const Walked& b) {
  const auto near = [](double x, double y) { return std::abs(x - y) <= 1e-9 * std::abs(y); };
  return a.dynamic == b.dynamic && a.state == b.state && a.fixed == b.fixed && a.slots == b.slots && near(a.prefill, b.prefill) &&
         near(a.decode, b.decode);
}

// The largest number that a layer's text names, but for widths: a window among them.
int64_t largest_number(const Decoder& d) {
  int64_t largest = 0;
  constexpr std::string_view digits = "0123456789";
  for (const Layer& l : d.layers) {
    const std::string_view all = l.text;
    for (size_t i = 0, end; (i = all.find_first_of(digits, i)) != all.npos; i = end) {
      end = std::min(all.find_first_not_of(digits, i), all.size());
      int64_t n = 0;
      std::from_chars(all.data() + i, all.data() + end, n);
      if (!all.substr(0, i).ends_with("hidden=")) largest = std::max(largest, n);
    }
  }
  return largest;
}

// A walk takes time by the square of its length; a long one is known from short ones.
Walked walked(const Walker& walker, int64_t context, bool in_full) {
  const int64_t step = std::lcm(walker.chunk, int64_t{page_tokens});
  const int64_t horizon = std::max<int64_t>(4096, largest_number(walker.d)) + walker.d.meta_tokens();
  const int64_t steps = (context - horizon) / step - 3;      // from the last of four to the context, all of one remainder
  const int64_t far = std::min(steps, 3 * horizon / step);   // where what goes on so is held against a walk: a logarithm would show
  if (in_full || far < 1 || steps < 4 * (far + 4)) return walker.walk(context, true);
  std::array<Walked, 4> near;
  for (int64_t i = 0; i < 4; ++i) near[static_cast<size_t>(i)] = walker.walk(context - (steps + 3 - i) * step);
  const auto check = continued(near, static_cast<double>(far));
  if (!check || !agree(*check, walker.walk(context - (steps - far) * step))) return walker.walk(context, true);
  return *continued(near, static_cast<double>(steps));
}

}  // namespace

Plan plan_memory(const Loaded& model, int64_t context, const PlanOptions& o) {
  expect(model.source->device == Device::meta, "plan: wanted a model on the meta device");
  expect(context >= 1 && o.chunk >= 1, "plan: a context of ", context, " tokens, ", o.chunk, " at a time");
  Plan p{.file_bytes = model.file_bytes, .context = context, .chunk = o.chunk, .threads = o.threads > 0 ? o.threads : thread_count()};
  const bool cuda = model.source->plan_for == Device::cuda;
  if (!cuda) p.program = resident_bytes() + code_of_kernels + each_thread * static_cast<size_t>(std::max(0, p.threads - 2));
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
  const Walked w = walked({.d = d, .chunk = o.chunk, .progress = o.progress}, context, o.in_full);
  const auto dynamic = static_cast<size_t>(w.dynamic);
  p.prefill_flops = w.prefill, p.decode_flops = w.decode;
  p.state = static_cast<size_t>(w.state), p.state_fixed = static_cast<size_t>(w.fixed);
  p.activations = dynamic > p.state ? dynamic - p.state : 0;
  for (const Held& s : w.slots)
    p.slots.push_back({s.layer, s.name, s.value.empty() ? text(s.pages, " pages of ", page_tokens, " tokens") : s.value,
                       static_cast<size_t>(s.bytes)});
  const int64_t in_pages = (context + d.meta_tokens() + page_tokens - 1) / page_tokens * page_tokens;
  p.state_per_token = static_cast<double>(p.state - p.state_fixed) / static_cast<double>(in_pages);
  p.products += largest;
  p.total = cuda ? p.weights + dynamic + p.products : p.program + std::max(p.load_peak, p.weights + dynamic);
  return p;
}

}  // namespace headrace
