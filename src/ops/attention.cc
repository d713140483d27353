#include "ops/sequence.h"

#include <algorithm>
#include <cmath>

#include "ops/kernels/attention.h"
#include "ops/ops.h"
#include "ops/run.h"

namespace headrace {
namespace {

// Makes room for `added` more tokens; pages are shared by forks, so a shared last page is copied before it grows.
void grow(SlotValue& v, int64_t added, int64_t page_floats, Device device) {
  if (v.length % page_tokens != 0 && v.pages.back().storage().use_count() > 1) v.pages.back() = v.pages.back().contiguous_copy();
  v.length += added;
  while (static_cast<int64_t>(v.pages.size()) * page_tokens < v.length)
    v.pages.push_back(Tensor::zeros({page_floats}, DType::f32, device));   // so that equal states have equal bytes
}
// Pages that no later query can see are let go.
void forget_outside(SlotValue& v, int64_t window) {
  if (window <= 0) return;
  int64_t gone = std::max<int64_t>(0, v.length - window + 1) / page_tokens;
  for (int64_t p = std::min<int64_t>(gone, static_cast<int64_t>(v.pages.size())) - 1; p >= 0 && v.pages[p]; --p) v.pages[p] = {};
}

}  // namespace

size_t SlotValue::bytes() const {
  size_t n = value ? value.bytes() : 0;
  for (const Tensor& p : pages) n += p ? p.bytes() : 0;
  return n;
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Attention& o, const Slot& slot) {
  check_rows("attention", q, slot);
  Rows rq = heads(q, "attention q"), rk = heads(k, "attention k"), rv = heads(v, "attention v");
  const int H = static_cast<int>(q.dim(1)), G = static_cast<int>(k.dim(1)), K = static_cast<int>(q.dim(2)), V = static_cast<int>(v.dim(2));
  expect(k.dim(0) == q.dim(0) && v.dim(0) == q.dim(0) && k.dim(2) == K && v.dim(1) == G && G > 0 && H % G == 0, "attention: q ", q.shape(),
         " k ", k.shape(), " v ", v.shape());
  expect(o.causal || slot.values.empty(), "attention: state cannot be carried where later keys are seen");
  for (const Tensor* t : {&o.sinks, &o.slopes})
    expect(!*t || (t->dtype() == DType::f32 && t->contiguous() && t->count() == H && t->device() == q.device()), "attention: ",
           t == &o.sinks ? "sinks" : "slopes", ": wanted f32 [", H, "], one for each head, in one piece on ", q.device(), ", found ",
           *t ? text(t->dtype(), " ", t->shape(), " on ", t->device()) : "");
  Tensor y = Tensor::empty({q.dim(0), H, V}, DType::f32, q.device());
  const int64_t page_floats = int64_t{G} * page_tokens * (K + V);

  std::vector<SlotValue> own;                      // pages of this call where no state is kept
  std::vector<SlotValue*> values = slot.values;
  if (values.empty()) {
    own.resize(static_cast<size_t>(slot.sequences.count()));
    for (SlotValue& s : own) values.push_back(&s);
  }
  std::vector<std::vector<float*>> pointers(values.size());
  std::vector<KeyPages> keys(values.size());
  for (size_t s = 0; s < values.size(); ++s) {
    grow(*values[s], slot.sequences.offsets[s + 1] - slot.sequences.offsets[s], page_floats, q.device());
    const int64_t seen = values[s]->length - (slot.sequences.offsets[s + 1] - slot.sequences.offsets[s]);
    const int64_t needed = o.window > 0 ? std::max<int64_t>(0, seen - o.window + 1) / page_tokens : 0;
    for (const Tensor& p : values[s]->pages) {
      expect(p || static_cast<int64_t>(pointers[s].size()) < needed, "attention: a saved state lacks keys that its window sees");
      expect(!p || p.count() == page_floats, "attention: a saved page of ", p ? p.count() : 0, " numbers where ", page_floats, " are needed");
      pointers[s].push_back(p ? p.f32() : nullptr);
    }
    keys[s] = {pointers[s].data(), values[s]->length};
  }
  run<&Kernels::append_keys>("append_keys", q.device(), rk.data, rk.stride, rv.data, rv.stride, G, K, V, slot.sequences, keys.data());
  run<&Kernels::attention>("attention", q.device(),
      AttentionArgs{.q = rq.data, .q_stride = rq.stride, .y = y.f32(), .y_stride = int64_t{H} * V, .heads = H, .kv_heads = G, .key = K,
                    .value = V, .sequences = slot.sequences, .keys = keys.data(),
                    .scale = o.scale > 0 ? o.scale : 1 / std::sqrt(static_cast<float>(K)), .cap = o.cap, .window_left = o.window,
                    .window_right = o.causal ? 0 : o.ahead > 0 || o.window > 0 ? o.ahead : -1, .sinks = o.sinks ? o.sinks.f32() : nullptr,
                    .slopes = o.slopes ? o.slopes.f32() : nullptr});
  for (SlotValue* s : slot.values) forget_outside(*s, o.window);
  return y;
}

}  // namespace headrace
