// memory_scan: a network that is trained while it reads (Behrouz et al. 2025, 2501.00663; Sun et al. 2024; equations: sequence.h,
// gradients: docs/math/titans.md). Reading alone is the same call without keys.
#include "ops/kernels/memory_scan.h"

#include "ops/run.h"
#include "ops/sequence.h"

namespace headrace {
namespace {

// inputs: q, k, v, rate, momentum, forget, initial, then the states from before.
void record_backward(Tape& tape, const Tensors& inputs, const MemoryScanArgs& args, const Slot& slot, const Tensor& y, const Tensors& after) {
  std::vector<bool> wanted;
  for (const Tensor& i : inputs) wanted.push_back(i && tape.tracks(i));
  tape.record(joined({y}, after), inputs,
              [=, offsets = std::vector(slot.sequences.offsets.begin(), slot.sequences.offsets.end())](const Tensors& dy) {
    constexpr size_t fixed = 7;
    const int64_t N = offsets.back(), H = args.heads, K = args.net.key, V = args.net.value, S = static_cast<int64_t>(offsets.size()) - 1;
    const Device device = inputs[0].device();
    const auto fresh = [&](bool there, const Shape& shape) { return there ? Tensor::empty(shape, DType::f32, device) : Tensor{}; };
    const auto pointer = [](const Tensor& x) { return x ? x.f32() : nullptr; };
    const Tensor dy0 = dy[0] ? dy[0].contiguous_or_copy() : Tensor::zeros({N, H, V}, DType::f32, device);
    const auto there = [&](size_t i) { return static_cast<bool>(inputs[i]); };
    Tensors d{fresh(true, {N, H, K}), fresh(there(1), {N, H, K}), fresh(there(2), {N, H, V}), fresh(there(3), {N, H}), fresh(there(4), {N, H}),
              fresh(there(5), {N, H})};
    const Tensor d_initial = fresh(true, {S, H, args.net.weights()});
    std::vector<const float*> first;
    std::vector<float*> d_states;
    Tensors d_state;
    for (size_t i = fixed; i < inputs.size(); ++i) {
      const Tensor& given = dy[1 + i - fixed];
      first.push_back(pointer(inputs[i]));
      d_state.push_back(given ? 1.f * given : Tensor::zeros({H, args.state()}, DType::f32, device));
      d_states.push_back(d_state.back().f32());
    }
    MemoryScanBackwardArgs b{.forward = args, .first = first.empty() ? nullptr : first.data(), .dy = dy0.f32(),
                             .d_states = first.empty() ? nullptr : d_states.data(), .dq = d[0].f32(), .dk = pointer(d[1]), .dv = pointer(d[2]),
                             .d_rate = pointer(d[3]), .d_momentum = pointer(d[4]), .d_forget = pointer(d[5]), .d_initial = d_initial.f32()};
    b.forward.sequences = {offsets}, b.forward.states = nullptr;
    run<&Kernels::memory_scan_backward>("memory_scan_backward", device, b);
    d.push_back(wanted[fixed - 1] ? sum_rows(d_initial) : Tensor{});
    for (size_t i = 0; i < d_state.size(); ++i) d.push_back(wanted[fixed + i] ? d_state[i] : Tensor{});
    return d;
  });
}

// k, v, rate and gates are empty where nothing is learnt.
Tensor scan(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& rate, const Tensor& momentum, const Tensor& forget,
            bool logits, const Memory& m, const Slot& slot) {
  check_rows(op, q, slot);
  const bool learns = static_cast<bool>(k);
  const auto rows = [&](const Tensor& x) { return x ? heads(x, op) : Rows{}; };
  const Rows rq = heads(q, op), rk = rows(k), rv = rows(v);
  const int64_t N = q.dim(0), H = q.dim(1), K = q.dim(2), V = m.value;
  expect(!learns || (k.shape() == q.shape() && v.shape() == Shape({N, H, V})), op, ": q ", q.shape(), " k ", k ? k.shape() : Shape{}, " v ",
         v ? v.shape() : Shape{}, " for a memory of ", V, " channels");
  expect(m.depth >= 1 && m.depth <= 64 && (m.depth == 1 || m.hidden > 0) && V > 0 && (!m.norm || K == V), op, ": ", m.depth, " matrices from ", K,
         " to ", V, " by ", m.hidden, m.norm ? ", normalised" : "");
  expect(m.chunk >= 1 && m.batch >= 0 && m.batch % m.chunk == 0 && m.chunk < (1 << 24) && m.batch < (1 << 24), op, ": batches of ", m.batch,
         " tokens in chunks of ", m.chunk);
  expect(Memory::can_clip(m.clip), op, ": clip = ", m.clip, ", wanted 0 or 1e-6 to 1e12");
  const auto gate = [&](const char* name, const Tensor& g, bool there) {
    expect(static_cast<bool>(g) == there && (!g || g.shape() == Shape({N, H})), op, ": ", name, " ", g ? g.shape() : Shape{}, " for q ", q.shape());
    return g ? rows_of(g) : Rows{};
  };
  const Rows theta = gate("rate", rate, learns), eta = gate("momentum", momentum, learns && m.momentum);
  const Rows alpha = gate("forget", forget, static_cast<bool>(forget));
  MemoryScanArgs args{.q = rq.data, .k = rk.data, .v = rv.data, .q_stride = rq.stride, .k_stride = rk.stride, .v_stride = rv.stride,
                      .rate = theta.data, .rate_stride = theta.stride, .learns = learns, .has_momentum = m.momentum, .momentum = eta.data,
                      .momentum_stride = eta.stride, .forget = alpha.data, .forget_stride = alpha.stride, .logits = logits, .chunk = m.chunk,
                      .batch = m.batch, .clip = m.clip, .y = nullptr, .y_stride = H * V,
                      .net = {static_cast<int>(K), static_cast<int>(V), m.hidden, m.depth, m.norm, m.eps},
                      .heads = static_cast<int>(H), .sequences = slot.sequences, .initial = values(m.initial), .states = nullptr};
  const int64_t P = args.net.weights();
  expect(!m.initial || (m.initial.shape() == Shape({H, P}) && m.initial.contiguous()), op, ": the initial memory ",
         m.initial ? m.initial.shape() : Shape{}, " where [", H, ",", P, "] is needed");
  std::vector<SlotValue*> fresh;
  for (SlotValue* s : slot.values)
    if (!s->value) fresh.push_back(s);
  const States s = states(slot, {H, args.state()}, q.device(), op);
  for (SlotValue* f : fresh)
    for (int64_t begin : {int64_t{0}, args.base_at()})
      if (m.initial && (begin == 0 || args.keeps_base())) {
        Tensor part = f->value.slice(1, begin, P);
        copy_into(m.initial, part);
      }
  Tensor y = Tensor::empty({N, H, V}, DType::f32, q.device());
  args.y = y.f32(), args.states = s.data();
  run<&Kernels::memory_scan>(op, q.device(), args);
  if (!Tape::current()) return y;
  const Tensors inputs = joined({q, k, v, rate, momentum, forget, m.initial}, s.before);
  if (Tape* t = recording(inputs)) record_backward(*t, inputs, args, slot, y, s.after);
  return y;
}

}  // namespace

Tensor memory_scan(const MemoryScan& x, const Memory& memory, const Slot& slot) {
  return scan("memory_scan", x.q, x.k, x.v, x.rate, x.momentum, x.forget, x.logits, memory, slot);
}
Tensor memory_read(const Tensor& q, const Memory& memory, const Slot& slot) {
  return scan("memory_read", q, {}, {}, {}, {}, {}, false, memory, slot);
}

}  // namespace headrace
