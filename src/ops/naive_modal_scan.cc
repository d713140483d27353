// The definition of modal_scan and its gradients in double precision (ops/kernels/modal_scan.h). With g the gradient of x_t,
// g_t = conj(residue) dy_t + conj(pole) g_{t+1}; du_t = sum_n Re g_t, dpole = sum_t g_t conj(x_{t-1}), dresidue = sum_t dy_t conj(x_t).
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

}  // namespace

void modal_scan(const ModalScanArgs& a) {
  const int64_t C = a.u.cols, N = a.pole.rows / 2;
  for (int s = 0; s < a.sequences.count(); ++s) {
    const int64_t begin = a.sequences.offsets[s], end = a.sequences.offsets[s + 1];
    for (int64_t c = 0; c < C; ++c) {
      std::vector<double> y(static_cast<size_t>(end - begin));
      for (int64_t n = 0; n < N; ++n) {
        Number x = a.states ? at(rows(a.states[s], a.pole), n, c) : 0;
        for (int64_t t = begin; t < end; ++t) {
          x = at(a.pole, n, c) * x + double{a.u[t][c]};
          y[static_cast<size_t>(t - begin)] += (at(a.residue, n, c) * x).real();
        }
        if (a.states) put(rows(a.states[s], a.pole), n, c, x);
      }
      for (int64_t t = begin; t < end; ++t) a.y[t][c] = static_cast<float>(y[static_cast<size_t>(t - begin)]);
    }
  }
}

void modal_scan_backward(const ModalScanBackwardArgs& b) {
  const ModalScanArgs& a = b.forward;
  const int64_t C = a.u.cols, N = a.pole.rows / 2;
  for (int64_t c = 0; c < C; ++c) {
    std::vector<Number> dpole(static_cast<size_t>(N)), dresidue(static_cast<size_t>(N)), x;
    std::vector<double> du(static_cast<size_t>(a.u.rows));
    for (int s = 0; s < a.sequences.count(); ++s)
      for (int64_t n = 0; n < N; ++n) {
        const int64_t begin = a.sequences.offsets[s], count = a.sequences.offsets[s + 1] - begin;
        const Number pole = at(a.pole, n, c), residue = at(a.residue, n, c);
        x.assign(static_cast<size_t>(count + 1), 0);              // x[t + 1] is after token t
        if (b.before && b.before[s]) x[0] = at(rows(b.before[s], a.pole), n, c);
        for (int64_t t = 0; t < count; ++t) x[static_cast<size_t>(t + 1)] = pole * x[static_cast<size_t>(t)] + double{a.u[begin + t][c]};
        Number g = b.d_after && b.d_after[s] ? at(rows(b.d_after[s], a.pole), n, c) : 0;
        for (int64_t t = count - 1; t >= 0; --t) {
          const double dy = b.dy[begin + t][c];
          g += std::conj(residue) * dy;
          du[static_cast<size_t>(begin + t)] += g.real();
          dpole[static_cast<size_t>(n)] += g * std::conj(x[static_cast<size_t>(t)]);
          dresidue[static_cast<size_t>(n)] += dy * std::conj(x[static_cast<size_t>(t + 1)]);
          g *= std::conj(pole);
        }
        if (b.d_before && b.d_before[s]) put(rows(b.d_before[s], a.pole), n, c, g);
      }
    for (int64_t t = 0; t < a.u.rows; ++t) b.du[t][c] = static_cast<float>(du[static_cast<size_t>(t)]);
    for (int64_t n = 0; n < N; ++n) put(b.dpole, n, c, dpole[static_cast<size_t>(n)]), put(b.dresidue, n, c, dresidue[static_cast<size_t>(n)]);
  }
}

}  // namespace headrace::naive
