#include "ops/sequence.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace headrace {
namespace {

// Where the state of each sequence lies, fresh or unshared and ready to be updated in place.
struct States {
  std::vector<float*> pointers;
  float* const* data() const { return pointers.empty() ? nullptr : pointers.data(); }
};
States states(const Slot& slot, const Shape& shape, Device device, const char* op) {
  States s;
  for (SlotValue* v : slot.values) {
    if (!v->value) {
      v->value = Tensor::zeros(shape, DType::f32, device);
    } else if (v->value.storage().use_count() > 1) {
      v->value = v->value.contiguous_copy();
    }
    expect(v->value.shape() == shape && v->value.device() == device, op, ": state ", v->value.shape(), " where ", shape,
           " is needed; it belongs to another model or device");
    s.pointers.push_back(v->value.f32());
  }
  return s;
}

void check_rows(const char* op, const Tensor& x, const Slot& slot) {
  expect(!slot.sequences.offsets.empty() && slot.sequences.tokens() == x.dim(0), op, ": x ", x.shape(), " but the sequences have ",
         slot.sequences.offsets.empty() ? 0 : slot.sequences.tokens(), " tokens");
  expect(slot.values.empty() || static_cast<int>(slot.values.size()) == slot.sequences.count(), op, ": ", slot.values.size(),
         " states for ", slot.sequences.count(), " sequences");
}
template <auto member, class... Args>
void run(const char* kernel, Device device, Args&&... args) {
  if (device == Device::meta) return;
  const Kernels& table = kernels(device);
  launch(table.*member, kernel, table.device, std::forward<Args>(args)...);
}
// The row of a [N,H,D] tensor whose heads are adjacent.
Rows heads(const Tensor& x, const char* op) {
  expect(x.rank() == 3, op, ": ", x.shape(), " must be [N,H,D]");
  return rows_of(x, 2);
}

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

Tensor linear_scan(const LinearScan& x, const Slot& slot) {
  const char* op = "linear_scan";
  check_rows(op, x.q, slot);
  Rows q = heads(x.q, op), k = heads(x.k, op), v = heads(x.v, op);
  const int64_t N = x.q.dim(0), K = x.q.dim(2), V = x.v.dim(2), Hq = x.q.dim(1), Hk = x.k.dim(1), Hv = x.v.dim(1), H = std::max({Hq, Hk, Hv});
  expect(x.k.dim(0) == N && x.v.dim(0) == N && x.k.dim(2) == K && Hq > 0 && Hk > 0 && Hv > 0 && H % Hq == 0 && H % Hk == 0 && H % Hv == 0, op,
         ": q ", x.q.shape(), " k ", x.k.shape(), " v ", x.v.shape());
  LinearScanArgs args{.q = q.data, .k = k.data, .v = v.data, .q_stride = q.stride, .k_stride = k.stride, .v_stride = v.stride,
                      .heads = static_cast<int>(H), .q_heads = static_cast<int>(Hq), .k_heads = static_cast<int>(Hk), .v_heads = static_cast<int>(Hv),
                      .key = static_cast<int>(K), .value = static_cast<int>(V), .sequences = slot.sequences, .scale = x.scale};
  if (const Tensor& g = x.log_decay; g) {
    const Shape &s = g.shape(), NH{N, H}, NHK{N, H, K}, H1{H}, HK{1, H, K};
    expect(s == NH || s == NHK || s == H1 || s == HK, op, ": log_decay ", s, " for ", N, " tokens, ", H, " heads of ", K);
    args.decay_per_key = s.rank() == 3;
    bool timed = s == NH || s == NHK;
    Rows r = timed ? rows_of(g, g.rank() - 1) : Rows{g.f32(), 1, g.count(), 0};
    args.log_decay = r.data;
    args.decay_stride = timed ? r.stride : 0;
  }
  if (x.a) {
    Rows a = heads(x.a, op), b = heads(x.b, op);
    expect(x.a.shape() == Shape({N, H, K}) && x.b.shape() == x.a.shape(), op, ": a ", x.a.shape(), " b ", x.b.shape());
    args.a = a.data, args.a_stride = a.stride, args.b = b.data, args.b_stride = b.stride;
  }
  if (x.beta) {
    expect(x.beta.shape() == Shape({N, H}) && Hk == H && !x.a, op, ": beta ", x.beta.shape(), " for q ", x.q.shape(), " k ", x.k.shape());
    Rows b = rows_of(x.beta);
    args.beta = b.data, args.beta_stride = b.stride;
  }
  if (x.bonus) {
    expect(x.bonus.count() == H * K && x.bonus.contiguous() && !x.a && !x.beta, op, ": bonus ", x.bonus.shape(), " for q ", x.q.shape());
    args.bonus = x.bonus.f32();
  }
  States s = states(slot, {H, K, V}, x.q.device(), op);
  Tensor y = Tensor::empty({N, H, V}, DType::f32, x.q.device());
  args.y = y.f32(), args.y_stride = H * V, args.states = s.data();
  run<&Kernels::linear_scan>(op, x.q.device(), args);
  return y;
}

Tensor diag_scan(const Tensor& log_decay, const Tensor& input, const Slot& slot) {
  check_rows("diag_scan", input, slot);
  expect(log_decay.shape() == input.shape() && input.rank() == 2, "diag_scan: log_decay ", log_decay.shape(), " input ", input.shape());
  States s = states(slot, {input.dim(1)}, input.device(), "diag_scan");
  Rows g = rows_of(log_decay), x = rows_of(input);
  Tensor y = Tensor::empty(input.shape(), DType::f32, input.device());
  run<&Kernels::diag_scan>("diag_scan", input.device(),
      DiagScanArgs{.kind = DiagScan::real, .x = x.data, .x_stride = x.stride, .log_decay = g.data, .decay_stride = g.stride, .y = y.f32(),
                   .y_stride = y.dim(1), .channels = static_cast<int>(input.dim(1)), .state = 1, .sequences = slot.sequences, .states = s.data()});
  return y;
}

Tensor selective_scan(const Tensor& x, const Tensor& dt, const Tensor& A, const Tensor& B, const Tensor& C, const Slot& slot) {
  check_rows("selective_scan", x, slot);
  expect(x.rank() == 2 && dt.shape() == x.shape() && A.rank() == 2 && A.dim(0) == x.dim(1) && B.dim(-1) == A.dim(1) && C.dim(-1) == A.dim(1) &&
             B.dim(0) == x.dim(0) && C.dim(0) == x.dim(0),
         "selective_scan: x ", x.shape(), " dt ", dt.shape(), " A ", A.shape(), " B ", B.shape(), " C ", C.shape());
  States s = states(slot, A.shape(), x.device(), "selective_scan");
  Rows rx = rows_of(x), rd = rows_of(dt), rb = rows_of(B), rc = rows_of(C);
  Tensor y = Tensor::empty(x.shape(), DType::f32, x.device());
  run<&Kernels::diag_scan>("diag_scan", x.device(),
      DiagScanArgs{.kind = DiagScan::selective, .x = rx.data, .x_stride = rx.stride, .log_decay = A.f32(), .decay_stride = 0, .dt = rd.data,
                   .dt_stride = rd.stride, .B = rb.data, .B_stride = rb.stride, .C = rc.data, .C_stride = rc.stride, .y = y.f32(),
                   .y_stride = y.dim(1), .channels = static_cast<int>(x.dim(1)), .state = static_cast<int>(A.dim(1)),
                   .sequences = slot.sequences, .states = s.data()});
  return y;
}

Tensor rwkv4_scan(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v, const Slot& slot) {
  check_rows("rwkv4_scan", v, slot);
  const int64_t C = v.dim(1);
  expect(k.shape() == v.shape() && w.count() == C && u.count() == C, "rwkv4_scan: w ", w.shape(), " u ", u.shape(), " k ", k.shape(), " v ",
      v.shape());
  std::vector<bool> fresh;
  for (const SlotValue* s : slot.values) fresh.push_back(!s->value);
  States s = states(slot, {3, C}, v.device(), "rwkv4_scan");
  std::vector<float> lowest(static_cast<size_t>(C), -1e38f);     // the running maximum starts below every key
  for (size_t i = 0; i < fresh.size(); ++i)
    if (fresh[i]) copy_bytes(s.pointers[i] + 2 * C, v.device(), lowest.data(), Device::cpu, lowest.size() * sizeof(float));
  Rows rk = rows_of(k), rv = rows_of(v);
  Tensor y = Tensor::empty(v.shape(), DType::f32, v.device());
  run<&Kernels::diag_scan>("diag_scan", v.device(),
      DiagScanArgs{.kind = DiagScan::rwkv4, .x = rv.data, .x_stride = rv.stride, .log_decay = w.f32(), .decay_stride = 0, .dt = rk.data,
                   .dt_stride = rk.stride, .B = u.f32(), .B_stride = 0, .y = y.f32(), .y_stride = C, .channels = static_cast<int>(C),
                   .state = 3, .sequences = slot.sequences, .states = s.data()});
  return y;
}

Tensor short_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, bool silu, const Slot& slot) {
  check_rows("short_conv", x, slot);
  const int64_t C = x.dim(-1), taps = weight ? weight.dim(-1) : 2;
  expect(!weight || (weight.count() == C * taps && taps >= 1), "short_conv: x ", x.shape(), " weight ", weight ? weight.shape() : Shape{});
  expect(!bias || bias.count() == C, "short_conv: x ", x.shape(), " bias ", bias ? bias.shape() : Shape{});
  States s = states(slot, {taps - 1, C}, x.device(), "short_conv");
  Tensor y = Tensor::empty(x.shape(), DType::f32, x.device());
  run<&Kernels::short_conv>("short_conv", x.device(),
      ShortConvArgs{.x = rows_of(x), .y = rows_of(y), .weight = weight ? weight.f32() : nullptr, .bias = bias ? bias.f32() : nullptr,
                    .taps = static_cast<int>(taps), .silu = silu, .sequences = slot.sequences, .states = s.data()});
  return y;
}

Tensor token_shift(const Tensor& x, const Slot& slot) { return short_conv(x, {}, {}, false, slot); }

}  // namespace headrace
