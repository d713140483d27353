// The gradients of diag_scan (docs/math/diag_scan.md), token by token from the last, in double precision.
#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

#include "ops/kernels/diag_scan.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {
namespace {

using Doubles = std::vector<double>;

struct Backward {
  const DiagScanBackwardArgs& a;
  const DiagScanArgs& f = a.forward;
  const int64_t N = f.sequences.tokens(), C = f.channels, S = f.state;
  Doubles decay, dB, dC;                           // what is summed over tokens or channels

  const float* before(int s) const { return a.before ? a.before[s] : nullptr; }
  const float* d_after(int s) const { return a.d_after ? a.d_after[s] : nullptr; }
  float* d_before(int s) const { return a.d_before ? a.d_before[s] : nullptr; }
  double dy(int64_t t, int64_t c) const { return a.dy ? a.dy[t * a.dy_stride + c] : 0; }

  void real(int s, int64_t c) {
    const int64_t begin = f.sequences.offsets[s];
    double r = d_after(s) ? d_after(s)[c] : 0;
    for (int64_t t = f.sequences.offsets[s + 1]; t-- > begin;) {
      r += dy(t, c);
      a.dx[t * C + c] = static_cast<float>(r);
      const double last = t > begin ? f.y[(t - 1) * f.y_stride + c] : before(s) ? before(s)[c] : 0;
      r *= std::exp(double{f.log_decay[t * f.decay_stride + c]});
      if (f.decay_stride) a.d_decay[t * C + c] = static_cast<float>(r * last);
      else decay[static_cast<size_t>(c)] += r * last;
    }
    if (d_before(s)) d_before(s)[c] = static_cast<float>(r);
  }

  void complex(int s, int64_t c) {
    using Complex = std::complex<double>;
    auto at = [&](const float* p) { return Complex(p[c], p[C + c]); };
    auto put = [&](Complex z, float* p) { p[c] = static_cast<float>(z.real()), p[C + c] = static_cast<float>(z.imag()); };
    const int64_t begin = f.sequences.offsets[s];
    Complex r = d_after(s) ? at(d_after(s)) : 0;
    for (int64_t t = f.sequences.offsets[s + 1]; t-- > begin;) {
      r += Complex(dy(t, c), dy(t, C + c));
      put(r, a.dx + t * 2 * C);
      const Complex d = r * std::conj(t > begin ? at(f.y + (t - 1) * f.y_stride) : before(s) ? at(before(s)) : Complex());
      if (f.decay_stride) put(d, a.d_decay + t * 2 * C);
      else decay[static_cast<size_t>(c)] += d.real(), decay[static_cast<size_t>(C + c)] += d.imag();
      r *= std::conj(at(f.log_decay + t * f.decay_stride));
    }
    if (d_before(s)) put(r, d_before(s));
  }

  void selective(int s, int64_t c) {
    const int64_t begin = f.sequences.offsets[s], T = f.sequences.offsets[s + 1] - begin;
    const float* A = f.log_decay + c * S;
    Doubles h(static_cast<size_t>((T + 1) * S)), r(static_cast<size_t>(S));          // h[t]: before token t
    for (int64_t n = 0; n < S; ++n) {
      h[static_cast<size_t>(n)] = before(s) ? before(s)[c * S + n] : 0;
      r[static_cast<size_t>(n)] = d_after(s) ? d_after(s)[c * S + n] : 0;
    }
    auto dt = [&](int64_t t) { return double{f.dt[t * f.dt_stride + c]}; };
    for (int64_t t = 0; t < T; ++t)
      for (int64_t n = 0; n < S; ++n)
        h[static_cast<size_t>((t + 1) * S + n)] = std::exp(dt(begin + t) * A[n]) * h[static_cast<size_t>(t * S + n)] +
            dt(begin + t) * f.B[(begin + t) * f.B_stride + n] * f.x[(begin + t) * f.x_stride + c];
    for (int64_t i = T; i-- > 0;) {
      const int64_t t = begin + i;
      const double step = dt(t), x = f.x[t * f.x_stride + c], d = dy(t, c);
      double dx = 0, ddt = 0;
      for (int64_t n = 0; n < S; ++n) {
        const double e = std::exp(step * A[n]), last = e * h[static_cast<size_t>(i * S + n)], b = f.B[t * f.B_stride + n];
        double& rn = r[static_cast<size_t>(n)];
        rn += f.C[t * f.C_stride + n] * d;
        dC[static_cast<size_t>(t * S + n)] += d * h[static_cast<size_t>((i + 1) * S + n)];
        dB[static_cast<size_t>(t * S + n)] += rn * step * x;
        dx += rn * step * b;
        ddt += rn * (A[n] * last + b * x);
        decay[static_cast<size_t>(c * S + n)] += rn * step * last;
        rn *= e;
      }
      a.dx[t * C + c] = static_cast<float>(dx);
      a.d_dt[t * C + c] = static_cast<float>(ddt);
    }
    for (int64_t n = 0; n < S && d_before(s); ++n) d_before(s)[c * S + n] = static_cast<float>(r[static_cast<size_t>(n)]);
  }

  // The gradients of num and den are those at the running maximum of the time; a result does not depend on the maximum, so what is
  // left of its own gradient, `high`, goes the way of the maximum: to the key that it was, or to the state before.
  void rwkv4(int s, int64_t c) {
    const int64_t begin = f.sequences.offsets[s], T = f.sequences.offsets[s + 1] - begin;
    const double w = f.log_decay[c], u = f.B[c];
    struct State { double num, den, top; };
    const float *first = before(s), *d = d_after(s);
    std::vector<State> h{first ? State{first[c], first[C + c], first[2 * C + c]} : State{0, 0, -1e38}};
    for (int64_t t = begin; t < begin + T; ++t) {
      const State& o = h.back();
      const double k = f.dt[t * f.dt_stride + c], m = std::max(o.top + w, k), e1 = std::exp(o.top + w - m), e2 = std::exp(k - m);
      h.push_back({e1 * o.num + e2 * f.x[t * f.x_stride + c], e1 * o.den + e2, m});
    }
    double num = d ? d[c] : 0, den = d ? d[C + c] : 0, high = d ? d[2 * C + c] - h.back().num * num - h.back().den * den : 0;
    for (int64_t i = T; i-- > 0;) {
      const State& o = h[static_cast<size_t>(i)];
      const int64_t t = begin + i;
      const double k = f.dt[t * f.dt_stride + c], v = f.x[t * f.x_stride + c], m = h[static_cast<size_t>(i + 1)].top;
      double e1 = std::exp(o.top + w - m), e2 = std::exp(k - m);
      double dk = e2 * (v * num + den), dv = e2 * num, dw = e1 * (o.num * num + o.den * den);
      num *= e1, den *= e1;
      if (o.top + w >= k) dw += high;
      else dk += high, high = 0;
      const double q = std::max(o.top, u + k), e3 = std::exp(o.top - q), e4 = std::exp(u + k - q);
      const double below = e3 * o.den + e4, y = (e3 * o.num + e4 * v) / below, r = dy(t, c) / below, bonus = e4 * r * (v - y);
      num += e3 * r, den -= e3 * r * y;
      a.dx[t * C + c] = static_cast<float>(dv + e4 * r);
      a.d_dt[t * C + c] = static_cast<float>(dk + bonus);
      dB[static_cast<size_t>(c)] += bonus;
      decay[static_cast<size_t>(c)] += dw;
    }
    if (float* to = d_before(s))
      to[c] = static_cast<float>(num), to[C + c] = static_cast<float>(den),
      to[2 * C + c] = static_cast<float>(h[0].num * num + h[0].den * den + high);
  }

  void run() {
    const bool selective_kind = f.kind == DiagScan::selective;
    decay.assign(static_cast<size_t>(C * (selective_kind ? S : f.kind == DiagScan::complex ? 2 : 1)), 0);
    dB.assign(static_cast<size_t>(selective_kind ? N * S : C), 0);
    dC.assign(static_cast<size_t>(selective_kind ? N * S : 0), 0);
    for (int s = 0; s < f.sequences.count(); ++s)
      for (int64_t c = 0; c < C; ++c) switch (f.kind) {
          case DiagScan::real: real(s, c); break;
          case DiagScan::complex: complex(s, c); break;
          case DiagScan::selective: selective(s, c); break;
          case DiagScan::rwkv4: rwkv4(s, c); break;
        }
    auto out = [](const Doubles& x, float* y) { std::transform(x.begin(), x.end(), y, [](double v) { return static_cast<float>(v); }); };
    if (f.decay_stride == 0) out(decay, a.d_decay);
    if (selective_kind || f.kind == DiagScan::rwkv4) out(dB, a.dB);
    if (selective_kind) out(dC, a.dC);
  }
};

}  // namespace

void diag_scan_backward(const DiagScanBackwardArgs& a) { Backward{a}.run(); }

}  // namespace headrace::naive
