// long_conv: whole sequences are one piece of work for the kernel (ops/kernels/long_conv.h). With a state, the blocked online
// algorithm (van der Hoeven 2002; Oncescu et al. 2024, 2410.12982): where t tokens have been seen and U is the lowest set bit of t, the
// last U inputs give all that they will give to the U outputs from t on, which waits there as a partial sum. Every pair of an
// input and a later output is met once, and what waits after t tokens is the same whether they came one by one or in blocks. Beyond
// the filter's length nothing reaches, so rings of the next power of two hold both, and U is at most that. A filter of modes is a
// recurrence in every form (ops/modal_scan.h); one whose taps are the first of a recurrence is that where it would end or wait.
#include "ops/sequence.h"

#include <bit>

#include "ops/kernels/long_conv.h"
#include "ops/ops.h"
#include "ops/modal_scan.h"
#include "ops/run.h"

namespace headrace {
namespace {

using Of = LongConvArgs::Of;

void convolve(Of of, const Tensor& filter, std::span<const LongConvPiece> pieces) {
  run<&Kernels::long_conv>("long_conv", filter.device(),
      LongConvArgs{.of = of, .filter = filter.f32(), .taps = filter.dim(1), .stride = filter.stride(0), .pieces = pieces});
}
Rows piece(const Tensor& x, int64_t begin, int64_t rows) { return rows_of(x.slice(0, begin, rows)); }

// The state [1 + 2 P, C]: a row that begins with t / 2P (t modulo 2 P is enough), inputs by time modulo P, partial sums of outputs alike.
struct Waiting {
  Tensor inputs, sums;                             // [P,C] each
  int64_t P, t;
  explicit Waiting(const Tensor& state) : Waiting(state, 0) {
    float part = 0;                                // a saved state may say anything
    copy_bytes(&part, Device::cpu, state.raw(), state.device(), sizeof part);
    expect(part >= 0 && part < 1, "long_conv: state ", state.shape(), ": wanted a first number from 0 to 1, found ", part);
    t = static_cast<int64_t>(part * static_cast<float>(2 * P));
  }
  Waiting(const Tensor& state, int64_t at) : P((state.dim(0) - 1) / 2), t(at) { inputs = state.slice(0, 1, P), sums = state.slice(0, 1 + P, P); }
  void save(const Tensor& state) const {
    const float part = static_cast<float>(t) / static_cast<float>(2 * P);
    copy_bytes(state.raw(), state.device(), &part, Device::cpu, sizeof part);
  }
  int64_t low(int64_t at) const { return at == 0 ? P : std::min(P, at & -at); }   // lowest set bit
  int64_t block(int64_t tokens) const { return std::min(low(t), static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(tokens)))); }
  void advance(int64_t block) { t = (t + block) % (2 * P); }
};
Tensor zeros(const Tensor& x) { return Tensor::zeros(x.shape(), DType::f32, x.device()); }
void clear(Tensor x) { run<&Kernels::unary>("unary", x.device(), Unary::scale, 0.f, rows_of(x), rows_of(x)); }

// Each round takes the next block of every sequence that has tokens left.
void stream(const Tensor& u, const Tensor& filter, Tensor& y, const Slot& slot) {
  const auto& offsets = slot.sequences.offsets;
  std::vector<Waiting> waiting;
  for (const SlotValue* v : slot.values) waiting.emplace_back(v->value);
  std::vector<int64_t> at(offsets.begin(), offsets.end() - 1);
  for (bool more = true; more;) {
    more = false;
    std::vector<LongConvPiece> blocks, tiles;
    for (size_t s = 0; s < waiting.size(); ++s) {
      const int64_t left = offsets[s + 1] - at[s];
      if (left == 0) continue;
      Waiting& w = waiting[s];
      const int64_t n = w.block(left), place = w.t % w.P;
      Tensor to = y.slice(0, at[s], n), sums = w.sums.slice(0, place, n), inputs = w.inputs.slice(0, place, n);
      add_into(sums, to), clear(sums), copy_into(u.slice(0, at[s], n), inputs);
      blocks.push_back({piece(u, at[s], n), rows_of(to), 0});
      w.advance(n), at[s] += n;
      const int64_t U = w.low(w.t), from = (w.t - U + 2 * w.P) % w.P;
      tiles.push_back({piece(w.inputs, from, U), piece(w.sums, w.t % w.P, U), U});
      more = more || at[s] < offsets[s + 1];
    }
    convolve(Of::y, filter, blocks), convolve(Of::y, filter, tiles);
  }
  for (size_t s = 0; s < waiting.size(); ++s) waiting[s].save(slot.values[s]->value);
}

// On average over all places that tokens may have: a block of 2^k inputs is met by each 2^(k+1)-th token, those of P by each P-th.
double stream_flops(const Tensor& u, int64_t P) {
  double token = 2;
  for (double U = 1; U <= static_cast<double>(P); U *= 2)
    token += long_conv_flops(U, U, 2 * U - 1) / (U < static_cast<double>(P) ? 2 * U : U);
  return static_cast<double>(u.count()) * token;
}

// One sequence backwards. dx, dfilter are added to; returns the gradient of the state before.
Tensor stream_backward(const Tensor& u, const Tensor& filter, const Tensor& before, const Tensor& dy, const Tensor& d_after, Tensor du,
                       const Tensor& dfilter) {
  Waiting w(before), d(d_after, 0);                // a gradient's first number is no time
  const int64_t P = w.P, n = u.dim(0), start = w.t, end = (start + n) % (2 * P);
  Tensor seen = Tensor::empty({P + n, u.dim(1)}, DType::f32, u.device()), dseen = zeros(seen), dsums = 1.f * d.sums;
  auto rows = [&](const Tensor& x, int64_t begin, int64_t count) { return x.slice(0, begin, count); };
  auto copy = [](const Tensor& from, Tensor to) { copy_into(from, to); };
  auto add = [](const Tensor& from, Tensor to) { add_into(from, to); };
  copy(rows(w.inputs, start % P, P - start % P), rows(seen, 0, P - start % P));          // in order of time
  copy(rows(w.inputs, 0, start % P), rows(seen, P - start % P, start % P));
  copy(u, rows(seen, P, n));
  add(rows(d.inputs, end % P, P - end % P), rows(dseen, n, P - end % P));
  add(rows(d.inputs, 0, end % P), rows(dseen, n + P - end % P, end % P));
  struct Block { int64_t at, n, t; };
  std::vector<Block> blocks;
  for (int64_t at = 0; at < n;) {
    const int64_t count = w.block(n - at);
    blocks.push_back({at, count, w.t});
    w.advance(count), at += count;
  }
  auto back = [&](const LongConvPiece& x, const LongConvPiece& dx) {
    if (dfilter) convolve(Of::filter, dfilter, {&x, 1});
    convolve(Of::u, filter, {&dx, 1});
  };
  for (; !blocks.empty(); blocks.pop_back()) {
    const auto [at, count, t] = blocks.back();
    const int64_t after = (t + count) % (2 * P), U = w.low(after);
    const Rows tile = piece(dsums, after % P, U), dblock = piece(dy, at, count);
    back({piece(seen, P + at + count - U, U), tile, U}, {piece(dseen, P + at + count - U, U), tile, U});
    copy(rows(dy, at, count), rows(dsums, t % P, count));
    back({piece(seen, P + at, count), dblock, 0}, {piece(dseen, P + at, count), dblock, 0});
  }
  add(rows(dseen, P, n), du);
  Tensor d_before = zeros(before);
  copy(rows(dseen, 0, P - start % P), rows(d_before, 1 + start % P, P - start % P));
  copy(rows(dseen, P - start % P, start % P), rows(d_before, 1, start % P));
  copy(dsums, rows(d_before, 1 + P, P));
  return d_before;
}

std::vector<LongConvPiece> wholes(const Tensor& u, const Tensor& y, std::span<const int64_t> offsets, int64_t lag) {
  std::vector<LongConvPiece> all;
  for (size_t s = 0; s + 1 < offsets.size(); ++s)
    if (const int64_t n = offsets[s + 1] - offsets[s]) all.push_back({piece(u, offsets[s], n), piece(y, offsets[s], n), lag});
  return all;
}
int64_t longest(const Sequences& s) {
  int64_t most = 0;
  for (int i = 0; i < s.count(); ++i) most = std::max(most, s.offsets[static_cast<size_t>(i) + 1] - s.offsets[static_cast<size_t>(i)]);
  return most;
}
void check_filter(const Tensor& u, const Tensor& filter, const char* what) {
  expect(u.rank() == 2 && filter.rank() == 2 && filter.dim(0) == u.dim(1) && filter.dim(1) >= 1 && filter.dtype() == DType::f32, "long_conv: u ",
         u.shape(), " ", what, " ", filter.shape());
}

}  // namespace

Tensor long_conv(const Tensor& u, const LongConv& o, const Slot& slot) {
  check_rows("long_conv", u, slot);
  if (o.modes.pole || (o.recurrence && (!slot.values.empty() || longest(slot.sequences) > o.filter.dim(1)))) {
    expect((!o.filter || !o.modes.pole) && !o.ahead, "long_conv: modes beside a filter");
    const Tensor y = modal_scan(u, o.modes.pole ? o.modes : o.recurrence(), slot);
    expect(!o.skip || o.skip.count() == u.dim(1), "long_conv: u ", u.shape(), " skip ", o.skip ? o.skip.shape() : Shape{});
    return o.skip ? y + u * o.skip.view({u.dim(1)}) : y;
  }
  expect(u.rank() == 2 && (o.filter || slot.values.empty()), "long_conv: u ", u.shape(), ": wanted a matrix, and a filter where a state is kept");
  if (o.filter) check_filter(u, o.filter, "filter");
  if (o.ahead) check_filter(u, o.ahead, "ahead");
  expect(!o.skip || o.skip.count() == u.dim(1), "long_conv: u ", u.shape(), " skip ", o.skip ? o.skip.shape() : Shape{});
  expect(!o.ahead || slot.values.empty(), "long_conv: a filter of later tokens needs whole sequences, not a state");
  const int64_t P = o.filter ? static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(o.filter.dim(1)))) : 0;
  States s = states(slot, {1 + 2 * P, u.dim(1)}, u.device(), "long_conv");
  Tensor y;
  {
    PauseTape pause;
    y = o.skip ? u * o.skip.view({u.dim(1)}) : zeros(u);
    // What later tokens give is the transposed convolution, as for a gradient: u takes the place of y.
    if (o.ahead) convolve(Of::u, o.ahead, wholes(y, u, slot.sequences.offsets, -1));
    if (o.filter && slot.values.empty()) convolve(Of::y, o.filter, wholes(u, y, slot.sequences.offsets, 0));
    if (!slot.values.empty() && u.device() != Device::meta) stream(u, o.filter, y, slot);
    else if (!slot.values.empty() && Meter::current()) Meter::current()->add("long_conv", stream_flops(u, P));
  }
  if (!Tape::current()) return y;
  const Tensors inputs = joined({u, o.filter, o.skip, o.ahead}, s.before);
  if (Tape* t = recording(inputs))
    t->record(joined({y}, s.after), inputs, [inputs, shape = Shape{1 + 2 * P, u.dim(1)}, wants_filter = t->tracks(o.filter),
                                wants_skip = t->tracks(o.skip),
                                wants_ahead = t->tracks(o.ahead),
                                offsets = std::vector(slot.sequences.offsets.begin(), slot.sequences.offsets.end())](const Tensors& d) {
      const Tensor &u = inputs[0], &filter = inputs[1], &skip = inputs[2], &ahead = inputs[3], dy = d[0] ? d[0] : zeros(u);
      Tensors g(inputs.size());
      g[0] = skip ? dy * skip.view({u.dim(1)}) : zeros(u);
      if (wants_filter) g[1] = zeros(filter);
      if (wants_skip) g[2] = sum_rows(dy * u).view(skip.shape());
      if (wants_ahead) g[3] = zeros(ahead);
      if (wants_ahead) convolve(Of::filter, g[3], wholes(dy, u, offsets, -1));
      if (ahead) convolve(Of::y, ahead, wholes(dy, g[0], offsets, -1));
      if (filter && d.size() == 1) {
        if (wants_filter) convolve(Of::filter, g[1], wholes(u, dy, offsets, 0));
        convolve(Of::u, filter, wholes(g[0], dy, offsets, 0));
      }
      for (size_t i = 1; i < d.size() && u.device() != Device::meta; ++i) {
        const int64_t from = offsets[i - 1], n = offsets[i] - from;
        const Tensor none = Tensor::zeros(shape, DType::f32, u.device());
        g[3 + i] = stream_backward(u.slice(0, from, n), filter, inputs[3 + i] ? inputs[3 + i] : none, dy.slice(0, from, n), d[i] ? d[i] : none,
                                   g[0].slice(0, from, n), g[1]);
      }
      return g;
    });
  return y;
}

}  // namespace headrace
