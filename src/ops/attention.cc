// attention: o = softmax(scale q k^T + ...) v (Vaswani et al. 2017, 1706.03762; options: sequence.h). A call appends its keys and
// values to pages, then all queries meet all pages: with a state or without, for one token or many, it is the same code. Backward
// (docs/math/attention.md) is a kernel that makes the weights again from the pages; pages that no later query can see are let go.
#include "ops/sequence.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/kernels/attention.h"
#include "ops/ops.h"
#include "ops/run.h"
#include "ops/weights.h"

namespace headrace {
namespace {

// Makes room for `added` more tokens; pages are shared by forks, so a shared last page is copied before it grows.
void grow(SlotValue& v, int64_t added, int64_t page_floats, Device device) {
  if (v.length % page_tokens != 0 && v.pages.back().storage().use_count() > 1) v.pages.back() = v.pages.back().contiguous_copy();
  v.length += added;
  while (static_cast<int64_t>(v.pages.size()) * page_tokens < v.length)
    v.pages.push_back(Tensor::zeros({page_floats}, DType::f32, device));   // so that equal states have equal bytes
}
// Pages of a call that keeps no state lie in one piece, so that however many they are they come from memory that is kept; the last one,
// which is not full, begins with zeros as those of a state do.
void take_pages(SlotValue& v, int64_t tokens, int64_t page_floats, Device device) {
  const int64_t full = tokens / page_tokens;
  if (full == 0) return;
  const Tensor all = Tensor::empty({full, page_floats}, DType::f32, device);
  for (int64_t p = 0; p < full; ++p) v.pages.push_back(all[p]);
}
// Pages at the beginning that every query sees.
int64_t kept_pages(const Attention& o) {
  return o.pattern && o.pattern->kind == Pattern::Kind::first ? (o.pattern->extra + page_tokens - 1) / page_tokens : 0;
}
// Pages that no later query can see are let go.
void forget_outside(SlotValue& v, const Attention& o) {
  if (o.window <= 0 || (o.pattern && o.pattern->kind == Pattern::Kind::listed)) return;
  int64_t gone = std::max<int64_t>(0, v.length - o.window + 1) / page_tokens;
  for (int64_t p = std::min<int64_t>(gone, static_cast<int64_t>(v.pages.size())) - 1; p >= kept_pages(o) && v.pages[p]; --p) v.pages[p] = {};
}

// The pages of one call, kept alive for backward.
struct Pages {
  std::vector<std::vector<Tensor>> tensors;          // by sequence
  std::vector<std::vector<float*>> pointers;
  std::vector<KeyPages> keys;
  std::vector<int64_t> offsets, key_offsets;
  Sequences sequences() const { return {offsets}; }
  Sequences key_sequences() const { return {key_offsets}; }
  Sequences added() const { return key_offsets.empty() ? sequences() : key_sequences(); }   // whose keys this call brings
};

AttentionArgs arguments(const Tensor& q, const Tensor& y, const Tensor& lse, const Attention& o, const Pages& pages, int kv_heads) {
  const Rows rq = heads(q, "attention q");
  const int H = static_cast<int>(q.dim(1)), K = static_cast<int>(q.dim(2)), V = static_cast<int>(y.dim(2));
  return {.q = rq.data, .q_stride = rq.stride, .y = y.f32(), .y_stride = int64_t{H} * V, .heads = H, .kv_heads = kv_heads, .key = K, .value = V,
          .sequences = pages.sequences(), .keys = pages.keys.data(), .scale = o.scale > 0 ? o.scale : 1 / std::sqrt(static_cast<float>(K)),
          .cap = o.cap, .window_left = o.window, .window_right = o.causal ? 0 : o.ahead > 0 || o.window > 0 ? o.ahead : -1,
          .sinks = values(o.sinks), .slopes = values(o.slopes), .lse = lse ? lse.f32() : nullptr, .alpha = values(o.alpha),
          .gates = static_cast<bool>(o.log_gates), .pattern = o.pattern.get(), .key_sequences = pages.key_sequences()};
}

void check_pattern(const Pattern& p, const Tensor& q, const Pages& pages) {
  using Kind = Pattern::Kind;
  const int64_t rows = pages.key_offsets.empty() ? q.dim(0) : pages.key_offsets.back();
  expect(p.kind == Kind::window || p.kind == Kind::first || p.block > 0, "attention: a pattern of blocks of ", p.block);
  expect(p.extra >= 0 && (p.kind != Kind::fixed || p.extra <= p.block), "attention: a pattern of blocks of ", p.block, " with ", p.extra, " more");
  expect(p.global.empty() || std::ssize(p.global) == rows, "attention: ", p.global.size(), " marks of global tokens for ", rows);
  if (p.kind == Kind::sorted) expect(std::ssize(p.positions) == q.dim(0), "attention: ", p.positions.size(), " positions for ", q.dim(0), " rows");
  if (p.kind != Kind::listed) return;
  expect(p.query_block > 0 && p.list_heads > 0 && q.dim(1) % p.list_heads == 0, "attention: lists for ", p.list_heads, " heads of ", q.dim(1),
         ", blocks of ", p.query_block, " queries");
  int64_t lists = 0;
  for (size_t s = 0; s + 1 < pages.offsets.size(); ++s)
    lists += (pages.offsets[s + 1] - pages.offsets[s] + p.query_block - 1) / p.query_block * p.list_heads;
  expect(std::ssize(p.begin) == lists + 1 && p.begin.back() <= std::ssize(p.blocks) && std::is_sorted(p.begin.begin(), p.begin.end()) &&
             p.begin[0] >= 0, "attention: ", std::ssize(p.begin) - 1, " lists of blocks where ", lists, " are needed");
  for (size_t l = 0; l + 1 < p.begin.size(); ++l)
    for (int64_t x = p.begin[l], least = 0; x < p.begin[l + 1]; least = p.blocks[static_cast<size_t>(x++)])
      expect(p.blocks[static_cast<size_t>(x)] >= least, "attention: block ", p.blocks[static_cast<size_t>(x)], " after ", least, " in a list");
}

void check(const Tensor& q, const Tensor& k, const Tensor& v, const Attention& o, const Slot& slot, bool wants_lse) {
  const bool apart = !o.keys.offsets.empty(), carried = !slot.values.empty();
  expect(q.rank() == 3, "attention: q ", q.shape(), " must be [N,H,K]");
  const int64_t H = q.dim(1), G = k.dim(1);
  expect(k.dim(0) == (apart ? o.keys.tokens() : q.dim(0)) && v.dim(0) == k.dim(0) && k.dim(2) == q.dim(2) && v.dim(1) == G && G > 0 && H % G == 0,
         "attention: q ", q.shape(), " k ", k.shape(), " v ", v.shape());
  expect(o.causal || !carried, "attention: state cannot be carried where later keys are seen");
  expect(!apart || (!carried && o.keys.count() == slot.sequences.count() && !o.log_gates), "attention: keys of ", o.keys.count(),
         " sequences of their own for queries of ", slot.sequences.count());
  for (const Tensor* t : {&o.sinks, &o.slopes, &o.alpha})
    expect(!*t || (t->dtype() == DType::f32 && t->contiguous() && t->count() == H && t->device() == q.device()), "attention: ",
           t == &o.sinks ? "sinks" : t == &o.slopes ? "slopes" : "alpha", ": wanted f32 [", H, "], one for each head, in one piece on ", q.device(),
           ", found ", *t ? text(t->dtype(), " ", t->shape(), " on ", t->device()) : "");
  expect(!o.log_gates || (o.log_gates.dtype() == DType::f32 && o.log_gates.shape() == Shape{q.dim(0), H}), "attention: log gates ",
         o.log_gates ? o.log_gates.shape() : Shape{}, " for q ", q.shape());
  expect(!o.alpha || (!o.sinks && !wants_lse), "attention: entmax has no denominator for sinks, nor to merge by");
  using Kind = Pattern::Kind;
  expect(!o.pattern || !carried || (o.pattern->global.empty() && o.pattern->kind != Kind::listed && o.pattern->kind != Kind::sorted),
         "attention: a state with lists of blocks, global or sorted tokens");
}

// The pages of each sequence, with room for the keys of this call. Those that a window has left may be missing in a saved state.
std::shared_ptr<Pages> open_pages(std::span<SlotValue* const> values, const Attention& o, const Sequences& queries, int64_t page_floats,
                                  Device device) {
  auto pages = std::make_shared<Pages>();
  pages->offsets.assign(queries.offsets.begin(), queries.offsets.end());
  pages->key_offsets.assign(o.keys.offsets.begin(), o.keys.offsets.end());
  const Sequences added = pages->added();
  pages->pointers.resize(values.size());
  for (size_t s = 0; s < values.size(); ++s) {
    const int64_t n = added.offsets[s + 1] - added.offsets[s], seen = values[s]->length;
    grow(*values[s], n, page_floats, device);
    const bool all = o.pattern && o.pattern->kind == Pattern::Kind::listed;
    const int64_t needed = o.window > 0 && !all ? std::max<int64_t>(0, seen - o.window + 1) / page_tokens : 0;
    std::vector<float*>& pointers = pages->pointers[s];
    for (const Tensor& p : values[s]->pages) {
      const int64_t at = std::ssize(pointers);
      expect(p || (at >= kept_pages(o) && at < needed), "attention: a saved state lacks keys that its window sees");
      expect(!p || p.count() == page_floats, "attention: a saved page of ", p ? p.count() : 0, " numbers where ", page_floats, " are needed");
      pointers.push_back(p ? p.f32() : nullptr);
    }
    pages->keys.push_back({pointers.data(), values[s]->length});
  }
  return pages;
}

// inputs: q, k, v, sinks, slopes, alpha, log gates. Keys and values are kept as pages, not as the tensors that they came in.
void record_backward(Tape& tape, const Tensors& inputs, const Tensor& y, const Tensor& lse, bool wants_lse, const Attention& o,
                     const std::shared_ptr<Pages>& pages, int kv_heads) {
  std::array<Shape, 7> shapes;                   // of the gradients that are wanted, and of q, k, v
  for (size_t i = 0; i < inputs.size(); ++i)
    if (i < 3 || tape.tracks(inputs[i])) shapes[i] = inputs[i].shape();
  Attention kept = o;
  kept.keys = {};
  const Tensor q = inputs[0];
  tape.record({y, wants_lse ? lse : Tensor{}}, inputs, [=](const Tensors& d) {
    const Device device = q.device();
    Tensor dy = d[0] ? d[0] : Tensor::zeros(y.shape(), DType::f32, device);
    Tensors g;
    for (const Shape& shape : shapes) g.push_back(shape.rank() > 0 ? Tensor::empty(shape, DType::f32, device) : Tensor{});
    auto at = [](const Tensor& x) { return x ? x.f32() : nullptr; };
    const Rows rdy = heads(dy, "attention dy");
    run<&Kernels::attention_backward>("attention_backward", device,
        AttentionBackwardArgs{.forward = arguments(q, y, lse, kept, *pages, kv_heads), .dy = rdy.data, .dy_stride = rdy.stride,
                              .dlse = wants_lse && d[1] ? d[1].f32() : nullptr, .dq = g[0].f32(), .dk = g[1].f32(), .dv = g[2].f32(),
                              .dsinks = at(g[3]), .dslopes = at(g[4]), .dalpha = at(g[5]), .dgates = at(g[6])});
    return g;
  });
}

Attended attend(const Tensor& q, const Tensor& k, const Tensor& v, const Attention& o, const Slot& slot, bool wants_lse) {
  check_rows("attention", q, slot);
  if (o.keys.offsets.empty())
    WatchWeights::tell(slot, v.dim(1), [&](const Tensor& places) { return attend(q, k, places, o, slot, false).y; });
  const Rows rk = heads(k, "attention k"), rv = heads(v, "attention v");
  check(q, k, v, o, slot, wants_lse);
  const int H = static_cast<int>(q.dim(1)), G = static_cast<int>(k.dim(1)), K = static_cast<int>(q.dim(2)), V = static_cast<int>(v.dim(2));
  Tensor y = Tensor::empty({q.dim(0), H, V}, DType::f32, q.device());
  const int64_t gates_at = int64_t{G} * page_tokens * (K + V), page_floats = gates_at + (o.log_gates ? int64_t{H} * page_tokens : 0);

  std::vector<SlotValue> own(slot.values.empty() ? static_cast<size_t>(slot.sequences.count()) : 0);   // where no state is kept
  std::vector<SlotValue*> values = slot.values;
  for (size_t s = 0; s < own.size(); ++s) {
    const Sequences added = o.keys.offsets.empty() ? slot.sequences : o.keys;
    take_pages(own[s], added.offsets[s + 1] - added.offsets[s], page_floats, q.device());
    values.push_back(&own[s]);
  }
  const std::shared_ptr<Pages> pages = open_pages(values, o, slot.sequences, page_floats, q.device());
  if (o.pattern) check_pattern(*o.pattern, q, *pages);
  run<&Kernels::append_keys>("append_keys", q.device(), rk.data, rk.stride, rv.data, rv.stride, G, K, V, pages->added(), pages->keys.data());
  if (o.log_gates)
    run<&Kernels::append_gates>("append_gates", q.device(), rows_of(o.log_gates), gates_at, pages->sequences(), pages->keys.data());

  const Tensors inputs = Tape::current() ? Tensors{q, k, v, o.sinks, o.slopes, o.alpha, o.log_gates} : Tensors{};
  Tape* t = recording(inputs);
  Tensor lse = t || wants_lse ? Tensor::empty({q.dim(0), H}, DType::f32, q.device()) : Tensor{};
  run<&Kernels::attention>("attention", q.device(), arguments(q, y, lse, o, *pages, G));
  if (t) {
    for (const SlotValue* s : values) pages->tensors.push_back(s->pages);
    record_backward(*t, inputs, y, lse, wants_lse, o, pages, G);
  }
  for (SlotValue* s : slot.values) forget_outside(*s, o);
  return {y, lse};
}

}  // namespace

size_t SlotValue::bytes() const {
  size_t n = value ? value.bytes() : 0;
  for (const Tensor& p : pages) n += p ? p.bytes() : 0;
  return n;
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Attention& o, const Slot& slot) {
  return attend(q, k, v, o, slot, false).y;
}
Attended attention_with_lse(const Tensor& q, const Tensor& k, const Tensor& v, const Attention& o, const Slot& slot) {
  return attend(q, k, v, o, slot, true);
}

}  // namespace headrace
