// Gradients of diag_scan: channels lie along the lanes, tokens are walked from the last. A task is some channels of one sequence;
// what is summed over sequences or channels is summed by task or by thread first, then in their order.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tasks.h"
#include "ops/kernels/diag_scan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/channel_scan_backward.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

#ifndef HEADRACE_CPU_BACKWARD_TASK
#define HEADRACE_CPU_BACKWARD_TASK
namespace headrace::cpu {

constexpr int64_t backward_block = 64;   // channels of one task
constexpr int64_t backward_chunk = 32;   // tokens whose states are run again from the state at their first
struct BackwardTask {
  int sequence;
  int64_t first, channels;
  double cost;
};
// Where a task leaves its part of a sum: d_decay and du [sequences, ...] by task, dB and dC [threads, N, S] by thread.
struct BackwardParts {
  float *decay, *u, *B, *C;
};

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// Pointers of one task, moved to its first channel.
struct Walk {
  const DiagScanBackwardArgs& a;
  const DiagScanArgs& f = a.forward;
  const BackwardTask& task;
  const int64_t begin = f.sequences.offsets[task.sequence], end = f.sequences.offsets[task.sequence + 1], C = f.channels, c = task.first;
  const float* before = a.before && a.before[task.sequence] ? a.before[task.sequence] : nullptr;
  const float* d_after = a.d_after && a.d_after[task.sequence] ? a.d_after[task.sequence] : nullptr;
  float* d_before = a.d_before ? a.d_before[task.sequence] : nullptr;
  const float* dy(int64_t t) const { return a.dy ? a.dy + t * a.dy_stride + c : nullptr; }
};

HWY_INLINE V load_or_zero(const auto& s, const float* p) { return p ? s.load(p) : set(0); }

void RealBackward(const DiagScanBackwardArgs& a, const BackwardTask& task, const BackwardParts& parts) {
  const Walk k{.a = a, .task = task};
  const DiagScanArgs& f = k.f;
  float r[backward_block], sum[backward_block] = {}, decay[backward_block];
  const bool constant = f.decay_stride == 0;
  strips(task.channels, [&](auto s) {
    s.store(load_or_zero(s, k.d_after ? k.d_after + k.c : nullptr), r);
    if (constant) s.store(exp_through(s.load(f.log_decay + k.c)), decay);
  });
  for (int64_t t = k.end; t-- > k.begin;) {
    const float* last = t > k.begin ? f.y + (t - 1) * f.y_stride + k.c : k.before ? k.before + k.c : nullptr;
    strips(task.channels, [&](auto s) {
      const V d = hn::Add(s.load(r), load_or_zero(s, k.dy(t)));
      s.store(d, a.dx + t * k.C + k.c);
      const V next = hn::Mul(d, constant ? s.load(decay) : exp_through(s.load(f.log_decay + t * f.decay_stride + k.c)));
      const V slope = hn::Mul(next, load_or_zero(s, last));
      if (constant) s.store(hn::Add(s.load(sum), slope), sum);
      else s.store(slope, a.d_decay + t * k.C + k.c);
      s.store(next, r);
    });
  }
  if (k.d_before) std::copy_n(r, task.channels, k.d_before + k.c);
  if (constant) std::copy_n(sum, task.channels, parts.decay + task.sequence * k.C + k.c);
}

// (r + i s)(u - i v): the gradient of a product by the conjugate of the other factor.
struct Complex { V re, im; };
HWY_INLINE Complex times_conjugate(Complex x, Complex y) {
  return {hn::MulAdd(x.re, y.re, hn::Mul(x.im, y.im)), hn::NegMulAdd(x.re, y.im, hn::Mul(x.im, y.re))};
}

void ComplexBackward(const DiagScanBackwardArgs& a, const BackwardTask& task, const BackwardParts& parts) {
  const Walk k{.a = a, .task = task};
  const DiagScanArgs& f = k.f;
  const int64_t C = k.C;
  float r[2 * backward_block], sum[2 * backward_block] = {};
  const bool constant = f.decay_stride == 0;
  auto load = [&](auto s, const float* p, int64_t apart) { return p ? Complex{s.load(p), s.load(p + apart)} : Complex{set(0), set(0)}; };
  auto store = [&](auto s, Complex z, float* p, int64_t apart) { s.store(z.re, p), s.store(z.im, p + apart); };
  strips(task.channels, [&](auto s) { store(s, load(s, k.d_after ? k.d_after + k.c : nullptr, C), r, backward_block); });
  for (int64_t t = k.end; t-- > k.begin;) {
    const float* last = t > k.begin ? f.y + (t - 1) * f.y_stride + k.c : k.before ? k.before + k.c : nullptr;
    strips(task.channels, [&](auto s) {
      Complex d = load(s, r, backward_block), in = load(s, k.dy(t), C);
      d = {hn::Add(d.re, in.re), hn::Add(d.im, in.im)};
      store(s, d, a.dx + t * 2 * C + k.c, C);
      const Complex slope = times_conjugate(d, load(s, last, C));
      if (constant) {
        const Complex all = load(s, sum, backward_block);
        store(s, Complex{hn::Add(all.re, slope.re), hn::Add(all.im, slope.im)}, sum, backward_block);
      } else {
        store(s, slope, a.d_decay + t * 2 * C + k.c, C);
      }
      store(s, times_conjugate(d, load(s, f.log_decay + t * f.decay_stride + k.c, C)), r, backward_block);
    });
  }
  for (int part = 0; part < 2; ++part) {
    if (k.d_before) std::copy_n(r + part * backward_block, task.channels, k.d_before + part * C + k.c);
    if (constant) std::copy_n(sum + part * backward_block, task.channels, parts.decay + (task.sequence * 2 + part) * C + k.c);
  }
}

// States of a chunk lie as [token][state][channel]; channels beyond the last are zero, so that strips are whole.
void SelectiveBackward(const DiagScanBackwardArgs& a, const BackwardTask& task, const BackwardParts& parts, int64_t piece) {
  const Walk k{.a = a, .task = task};
  const DiagScanArgs& f = k.f;
  const D d;
  const int64_t S = f.state, L = lanes(), W = (task.channels + L - 1) / L * L, SW = S * W, N = f.sequences.tokens();
  const int64_t T = k.end - k.begin, chunks = (T + backward_chunk - 1) / backward_chunk;
  static thread_local std::vector<float> memory;
  memory.resize(static_cast<size_t>(SW * (3 + chunks + 2 * backward_chunk + 1) + W * (3 * backward_chunk + 2)));
  float* at = memory.data();
  auto take = [&](int64_t n) { return std::exchange(at, at + n); };
  float *A = take(SW), *r = take(SW), *dA = take(SW), *entry = take(chunks * SW),
        *h = take((backward_chunk + 1) * SW), *e = take(backward_chunk * SW);
  float *dt = take(backward_chunk * W), *x = take(backward_chunk * W), *dy = take(backward_chunk * W), *dx = take(W), *ddt = take(W);
  std::fill_n(memory.data(), memory.size(), 0.f);
  for (int64_t c = 0; c < task.channels; ++c)
    for (int64_t n = 0; n < S; ++n) {
      const int64_t from = (k.c + c) * S + n, to = n * W + c;
      A[to] = f.log_decay[from];
      if (k.before) h[to] = k.before[from];
      if (k.d_after) r[to] = k.d_after[from];
    }
  auto rows = [&](const float* p, int64_t stride, int64_t first, int64_t count, float* to) {
    for (int64_t t = 0; p && t < count; ++t) std::copy_n(p + (first + t) * stride + k.c, task.channels, to + t * W);
  };
  // States h[1..count] and decays e of a chunk from h[0]; without `keep` h[0] becomes the last.
  auto forward = [&](int64_t first, int64_t count, bool keep) {
    rows(f.dt, f.dt_stride, first, count, dt), rows(f.x, f.x_stride, first, count, x);
    for (int64_t t = 0; t < count; ++t) {
      const float *B = f.B + (first + t) * f.B_stride, *old = keep ? h + t * SW : h;
      float* now = keep ? h + (t + 1) * SW : h;
      for (int64_t w = 0; w < W; w += L) {
        const V step = hn::LoadU(d, dt + t * W + w), in = hn::Mul(step, hn::LoadU(d, x + t * W + w));
        for (int64_t n = 0; n < S; ++n) {
          const V decay = hn::Exp(d, hn::Mul(step, hn::LoadU(d, A + n * W + w)));
          hn::StoreU(hn::MulAdd(decay, hn::LoadU(d, old + n * W + w), hn::Mul(in, set(B[n]))), d, now + n * W + w);
          if (keep) hn::StoreU(decay, d, e + t * SW + n * W + w);
        }
      }
    }
  };
  for (int64_t i = 0; i < chunks; ++i) {
    std::copy_n(h, SW, entry + i * SW);
    if (i + 1 < chunks) forward(k.begin + i * backward_chunk, backward_chunk, false);
  }
  for (int64_t i = chunks; i-- > 0;) {
    const int64_t first = k.begin + i * backward_chunk, count = std::min(backward_chunk, k.end - first);
    std::copy_n(entry + i * SW, SW, h);
    forward(first, count, true);
    rows(a.dy, a.dy_stride, first, count, dy);
    for (int64_t t = count; t-- > 0;) {
      const float *B = f.B + (first + t) * f.B_stride, *C = f.C + (first + t) * f.C_stride;
      float *dB = parts.B + (piece * N + first + t) * S, *dC = parts.C + (piece * N + first + t) * S;
      std::fill_n(dx, 2 * W, 0.f);                           // and ddt
      for (int64_t n = 0; n < S; ++n) {
        V to_B = set(0), to_C = set(0);
        for (int64_t w = 0; w < W; w += L) {
          const int64_t nw = n * W + w;
          const V step = hn::LoadU(d, dt + t * W + w), in = hn::LoadU(d, x + t * W + w), out = hn::LoadU(d, dy + t * W + w);
          const V now = hn::MulAdd(set(C[n]), out, hn::LoadU(d, r + nw)), next = hn::Mul(now, hn::LoadU(d, e + t * SW + nw));
          const V slope = hn::Mul(next, hn::LoadU(d, h + t * SW + nw));
          to_C = hn::MulAdd(out, hn::LoadU(d, h + (t + 1) * SW + nw), to_C);
          to_B = hn::MulAdd(now, hn::Mul(step, in), to_B);
          hn::StoreU(hn::MulAdd(now, set(B[n]), hn::LoadU(d, dx + w)), d, dx + w);
          hn::StoreU(hn::MulAdd(slope, hn::LoadU(d, A + nw), hn::LoadU(d, ddt + w)), d, ddt + w);
          hn::StoreU(hn::MulAdd(slope, step, hn::LoadU(d, dA + nw)), d, dA + nw);
          hn::StoreU(next, d, r + nw);
        }
        dB[n] += sum_of(to_B), dC[n] += sum_of(to_C);
      }
      strips(task.channels, [&](auto s) {                     // dx holds sum_n r B
        const V by_B = s.load(dx);
        s.store(hn::Mul(s.load(dt + t * W), by_B), a.dx + (first + t) * k.C + k.c);
        s.store(hn::MulAdd(s.load(x + t * W), by_B, s.load(ddt)), a.d_dt + (first + t) * k.C + k.c);
      });
    }
  }
  for (int64_t c = 0; c < task.channels; ++c)
    for (int64_t n = 0; n < S; ++n) {
      const int64_t to = (k.c + c) * S + n, from = n * W + c;
      if (k.d_before) k.d_before[to] = r[from];
      parts.decay[task.sequence * k.C * S + to] = dA[from];
    }
}

// As the definition (naive_diag_scan_backward.cc): `high` goes the way of the running maximum.
void Rwkv4Backward(const DiagScanBackwardArgs& a, const BackwardTask& task, const BackwardParts& parts) {
  const Walk k{.a = a, .task = task};
  const DiagScanArgs& f = k.f;
  const int64_t T = k.end - k.begin, chunks = (T + backward_chunk - 1) / backward_chunk, L = lanes();
  static thread_local std::vector<float> memory;
  memory.resize(static_cast<size_t>((chunks + backward_chunk) * 3 * L));
  float *entry = memory.data(), *h = entry + chunks * 3 * L;
  struct State { V num, den, top; };
  auto kept = [&](const float* p) { return State{hn::LoadU(D(), p), hn::LoadU(D(), p + L), hn::LoadU(D(), p + 2 * L)}; };
  auto keep = [&](const State& z, float* p) { hn::StoreU(z.num, D(), p), hn::StoreU(z.den, D(), p + L), hn::StoreU(z.top, D(), p + 2 * L); };
  auto e = [](V x) { return exp_through(x); };
  strips(task.channels, [&](auto s) {
    auto state = [&](const float* p) { return State{s.load(p + k.c), s.load(p + k.C + k.c), s.load(p + 2 * k.C + k.c)}; };
    const V w = s.load(f.log_decay + k.c), u = s.load(f.B + k.c);
    auto key = [&](int64_t t) { return s.load(f.dt + t * f.dt_stride + k.c); };
    auto value = [&](int64_t t) { return s.load(f.x + t * f.x_stride + k.c); };
    auto step = [&](State z, int64_t t) {
      const V decayed = hn::Add(z.top, w), high = hn::Max(decayed, key(t)), old = e(hn::Sub(decayed, high)), now = e(hn::Sub(key(t), high));
      return State{hn::MulAdd(old, z.num, hn::Mul(now, value(t))), hn::MulAdd(old, z.den, now), high};
    };
    State z = k.before ? state(k.before) : State{set(0), set(0), set(-1e38f)};
    for (int64_t t = 0; t < T; ++t) {
      if (t % backward_chunk == 0) keep(z, entry + t / backward_chunk * 3 * L);
      z = step(z, k.begin + t);
    }
    V num = set(0), den = set(0), high = set(0), dw = set(0), du = set(0);
    if (k.d_after) {
      const State d = state(k.d_after);
      num = d.num, den = d.den, high = hn::NegMulAdd(z.num, num, hn::NegMulAdd(z.den, den, d.top));
    }
    for (int64_t i = chunks; i-- > 0;) {
      const int64_t first = k.begin + i * backward_chunk, count = std::min(backward_chunk, k.end - first);
      z = kept(entry + i * 3 * L);
      for (int64_t t = 0; t < count; ++t) keep(z, h + t * 3 * L), z = step(z, first + t);
      for (int64_t t = count; t-- > 0;) {
        const State o = kept(h + t * 3 * L);
        const V key_t = key(first + t), v = value(first + t), decayed = hn::Add(o.top, w), top = hn::Max(decayed, key_t);
        const V old = e(hn::Sub(decayed, top)), now = e(hn::Sub(key_t, top));
        V dk = hn::Mul(now, hn::MulAdd(v, num, den)), dv = hn::Mul(now, num);
        dw = hn::MulAdd(old, hn::MulAdd(o.num, num, hn::Mul(o.den, den)), dw);
        num = hn::Mul(num, old), den = hn::Mul(den, old);
        const auto by_decay = hn::Ge(decayed, key_t);
        dw = hn::Add(dw, hn::IfThenElseZero(by_decay, high)), dk = hn::Add(dk, hn::IfThenZeroElse(by_decay, high));
        high = hn::IfThenElseZero(by_decay, high);
        const V bonus = hn::Add(u, key_t), most = hn::Max(o.top, bonus), past = e(hn::Sub(o.top, most)), own = e(hn::Sub(bonus, most));
        const V below = hn::MulAdd(past, o.den, own), y = hn::Div(hn::MulAdd(past, o.num, hn::Mul(own, v)), below);
        const V r = hn::Div(load_or_zero(s, k.dy(first + t)), below), to_bonus = hn::Mul(hn::Mul(own, r), hn::Sub(v, y));
        num = hn::MulAdd(past, r, num), den = hn::NegMulAdd(hn::Mul(past, r), y, den), du = hn::Add(du, to_bonus);
        s.store(hn::MulAdd(own, r, dv), a.dx + (first + t) * k.C + k.c);
        s.store(hn::Add(dk, to_bonus), a.d_dt + (first + t) * k.C + k.c);
        z = o;
      }
    }
    if (float* to = k.d_before) {
      s.store(num, to + k.c), s.store(den, to + k.C + k.c);
      s.store(hn::MulAdd(z.num, num, hn::MulAdd(z.den, den, high)), to + 2 * k.C + k.c);
    }
    s.store(dw, parts.decay + task.sequence * k.C + k.c), s.store(du, parts.u + task.sequence * k.C + k.c);
  });
}

void DiagBackward(const DiagScanBackwardArgs& a, const BackwardTask& task, const BackwardParts& parts, int64_t piece) {
  switch (a.forward.kind) {
    case DiagScan::real: return RealBackward(a, task, parts);
    case DiagScan::complex: return ComplexBackward(a, task, parts);
    case DiagScan::selective: return SelectiveBackward(a, task, parts, piece);
    case DiagScan::rwkv4: return Rwkv4Backward(a, task, parts);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(DiagBackward);

namespace {
// y = the parts [count, n] summed in their order.
void sum_parts(const std::vector<float>& parts, int64_t n, float* y) {
  const int64_t count = static_cast<int64_t>(parts.size()) / n;
  parallel(n, 4096, [&](int64_t begin, int64_t end, int) {
    std::copy(parts.data() + begin, parts.data() + end, y + begin);
    for (int64_t i = 1; i < count; ++i)
      for (int64_t j = begin; j < end; ++j) y[j] += parts[static_cast<size_t>(i * n + j)];
  });
}
}  // namespace

void diag_scan_backward(const DiagScanBackwardArgs& a) {
  const DiagScanArgs& f = a.forward;
  const int64_t sequences = f.sequences.count(), C = f.channels;
  std::vector<BackwardTask> tasks;
  for (int s = 0; s < sequences; ++s)
    for (int64_t c = 0; c < C; c += backward_block) {
      const int64_t n = std::min(backward_block, C - c);
      tasks.push_back({s, c, n, static_cast<double>(n * (1 + f.sequences.offsets[s + 1] - f.sequences.offsets[s]))});
    }
  const bool selective = f.kind == DiagScan::selective;
  const int64_t decay = f.decay_stride ? 0 : C * (selective ? f.state : f.kind == DiagScan::complex ? 2 : 1);
  const int64_t by_token = selective ? f.sequences.tokens() * f.state : 0, u = f.kind == DiagScan::rwkv4 ? C : 0;
  std::vector<float> decays(static_cast<size_t>(sequences * decay)), us(static_cast<size_t>(sequences * u)),
      Bs(static_cast<size_t>(thread_count() * by_token)), Cs(Bs.size());
  const BackwardParts parts{.decay = decays.data(), .u = us.data(), .B = Bs.data(), .C = Cs.data()};
  parallel_tasks(tasks, 4096.0 / f.state, [&](const BackwardTask& t, int64_t piece) { HWY_DYNAMIC_DISPATCH(DiagBackward)(a, t, parts, piece); });
  if (decay) sum_parts(decays, decay, a.d_decay);
  if (u) sum_parts(us, u, a.dB);
  if (by_token) sum_parts(Bs, by_token, a.dB), sum_parts(Cs, by_token, a.dC);
}

}  // namespace headrace::cpu
#endif
