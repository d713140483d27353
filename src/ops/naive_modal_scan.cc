// The definition of modal_scan and its gradients in double precision (ops/kernels/modal_scan.h). With g the gradient of x_t,
// g_t = conj(residue) dy_t + conj(pole) g_{t+1}; du_t = sum_n Re g_t, dpole = sum_t g_t conj(x_{t-1}), dresidue = sum_t dy_t conj(x_t).
// Coupled, with l_t = Re sum row x_{t-1} and dl_t = -sum_n Re conj(column) g_t: g_{t-1} += conj(row) dl_t, drow = sum_t dl_t conj(x_{t-1}),
// dcolumn = -sum_t g_t l_t, dinput = sum_t g_t u_t, du_t = sum_n Re conj(input) g_t.
#include "ops/kernels/modal_scan.h"

#include <complex>
#include <vector>

#include "ops/naive_sequence.h"

namespace headrace::naive {
namespace {

using Number = std::complex<double>;

Number at(const Rows& x, int64_t n, int64_t c) { return {x[n][c], x[n + x.rows / 2][c]}; }
Rows rows(const float* state, const Rows& pole) { return {const_cast<float*>(state), pole.rows, pole.cols, pole.cols}; }
void put(const Rows& x, int64_t n, int64_t c, Number v) {
  x[n][c] = static_cast<float>(v.real()), x[n + x.rows / 2][c] = static_cast<float>(v.imag());
}

// Re sum row x: what each mode gets of all of them.
double coupling(const ModalScanArgs& a, const std::vector<Number>& x, int64_t c) {
  double sum = 0;
  for (int64_t n = 0; a.coupled() && n < a.row.rows / 2; ++n) sum += (at(a.row, n, c) * x[static_cast<size_t>(n)]).real();
  return sum;
}

}  // namespace

void modal_scan(const ModalScanArgs& a) {
  const int64_t C = a.u.cols, N = a.pole.rows / 2;
  for (int s = 0; s < a.sequences.count(); ++s)
    for (int64_t c = 0; c < C; ++c) {
      std::vector<Number> x(static_cast<size_t>(N));
      for (int64_t n = 0; n < N; ++n) x[static_cast<size_t>(n)] = a.states ? at(rows(a.states[s], a.pole), n, c) : 0;
      for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
        const double low = coupling(a, x, c);
        double y = 0;
        for (int64_t n = 0; n < N; ++n) {
          Number& v = x[static_cast<size_t>(n)];
          v = at(a.pole, n, c) * v + (a.coupled() ? at(a.input, n, c) : 1.0) * double{a.u[t][c]};
          if (a.coupled()) v -= at(a.column, n, c) * low;
          y += (at(a.residue, n, c) * v).real();
        }
        a.y[t][c] = static_cast<float>(y);
      }
      for (int64_t n = 0; a.states && n < N; ++n) put(rows(a.states[s], a.pole), n, c, x[static_cast<size_t>(n)]);
    }
}

void modal_scan_backward(const ModalScanBackwardArgs& b) {
  const ModalScanArgs& a = b.forward;
  const int64_t C = a.u.cols, N = a.pole.rows / 2;
  using Numbers = std::vector<Number>;
  for (int64_t c = 0; c < C; ++c) {
    const Numbers none(static_cast<size_t>(N));
    Numbers dpole = none, dresidue = none, dinput = none, dcolumn = none, drow = none;
    for (int s = 0; s < a.sequences.count(); ++s) {
      const int64_t begin = a.sequences.offsets[s], count = a.sequences.offsets[s + 1] - begin;
      std::vector<Numbers> x(static_cast<size_t>(count + 1), none);                 // x[t + 1] is after token t
      std::vector<double> low(static_cast<size_t>(count));
      for (int64_t n = 0; n < N && b.before && b.before[s]; ++n) x[0][static_cast<size_t>(n)] = at(rows(b.before[s], a.pole), n, c);
      for (int64_t t = 0; t < count; ++t) {
        const Numbers& was = x[static_cast<size_t>(t)];
        low[static_cast<size_t>(t)] = coupling(a, was, c);
        for (int64_t n = 0; n < N; ++n) {
          const size_t k = static_cast<size_t>(n);
          x[static_cast<size_t>(t + 1)][k] = at(a.pole, n, c) * was[k] + (a.coupled() ? at(a.input, n, c) : 1.0) * double{a.u[begin + t][c]} -
                                             (a.coupled() ? at(a.column, n, c) * low[static_cast<size_t>(t)] : 0.0);
        }
      }
      Numbers g = none;
      for (int64_t n = 0; n < N && b.d_after && b.d_after[s]; ++n) g[static_cast<size_t>(n)] = at(rows(b.d_after[s], a.pole), n, c);
      for (int64_t t = count - 1; t >= 0; --t) {
        const double dy = b.dy[begin + t][c], u = a.u[begin + t][c];
        double du = 0, dlow = 0;
        for (int64_t n = 0; n < N; ++n) {
          const size_t k = static_cast<size_t>(n);
          g[k] += std::conj(at(a.residue, n, c)) * dy;
          du += (std::conj(a.coupled() ? at(a.input, n, c) : 1.0) * g[k]).real();
          dpole[k] += g[k] * std::conj(x[static_cast<size_t>(t)][k]), dresidue[k] += dy * std::conj(x[static_cast<size_t>(t + 1)][k]);
          if (!a.coupled()) continue;
          dlow -= (std::conj(at(a.column, n, c)) * g[k]).real();
          dinput[k] += g[k] * u, dcolumn[k] -= g[k] * low[static_cast<size_t>(t)];
        }
        b.du[begin + t][c] = static_cast<float>(du);
        for (int64_t n = 0; n < N; ++n) {
          const size_t k = static_cast<size_t>(n);
          g[k] *= std::conj(at(a.pole, n, c));
          if (a.coupled()) drow[k] += dlow * std::conj(x[static_cast<size_t>(t)][k]), g[k] += std::conj(at(a.row, n, c)) * dlow;
        }
      }
      for (int64_t n = 0; n < N && b.d_before && b.d_before[s]; ++n) put(rows(b.d_before[s], a.pole), n, c, g[static_cast<size_t>(n)]);
    }
    for (int64_t n = 0; n < N; ++n) {
      const size_t k = static_cast<size_t>(n);
      put(b.dpole, n, c, dpole[k]), put(b.dresidue, n, c, dresidue[k]);
      if (a.coupled()) put(b.dinput, n, c, dinput[k]), put(b.dcolumn, n, c, dcolumn[k]), put(b.drow, n, c, drow[k]);
    }
  }
}

}  // namespace headrace::naive
