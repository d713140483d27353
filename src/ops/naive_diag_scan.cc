// The definitions of diag_scan, token by token in double precision: h_t = w_t h_{t-1} + x_t, real and complex;
// Mamba's factored form; RWKV-4's in log space.
#include "ops/kernels/diag_scan.h"
#include "ops/naive_sequence.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

namespace headrace::naive {

namespace {

void real_scan(const DiagScanArgs& a, int s) {
  for (int c = 0; c < a.channels; ++c) {
    double h = a.states ? a.states[s][c] : 0;
    for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
      h = std::exp(double{a.log_decay[t * a.decay_stride + c]}) * h + a.x[t * a.x_stride + c];
      a.y[t * a.y_stride + c] = static_cast<float>(h);
    }
    if (a.states) a.states[s][c] = static_cast<float>(h);
  }
}

void complex_scan(const DiagScanArgs& a, int s) {
  const int C = a.channels;
  for (int c = 0; c < C; ++c) {
    std::complex<double> h;
    if (a.states) h = {a.states[s][c], a.states[s][C + c]};
    for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
      const float *w = a.log_decay + t * a.decay_stride + c, *x = a.x + t * a.x_stride + c;
      h = std::complex<double>(w[0], w[C]) * h + std::complex<double>(x[0], x[C]);
      a.y[t * a.y_stride + c] = static_cast<float>(h.real());
      a.y[t * a.y_stride + C + c] = static_cast<float>(h.imag());
    }
    if (a.states) a.states[s][c] = static_cast<float>(h.real()), a.states[s][C + c] = static_cast<float>(h.imag());
  }
}

void selective_scan(const DiagScanArgs& a, int s) {
  std::vector<double> h(static_cast<size_t>(a.state));
  for (int c = 0; c < a.channels; ++c) {
    for (int n = 0; n < a.state; ++n) h[static_cast<size_t>(n)] = a.states ? a.states[s][int64_t{c} * a.state + n] : 0;
    for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
      double dt = a.dt[t * a.dt_stride + c], x = a.x[t * a.x_stride + c], y = 0;
      for (int n = 0; n < a.state; ++n) {
        double& v = h[static_cast<size_t>(n)];
        v = std::exp(dt * a.log_decay[int64_t{c} * a.state + n]) * v + dt * a.B[t * a.B_stride + n] * x;
        y += a.C[t * a.C_stride + n] * v;
      }
      a.y[t * a.y_stride + c] = static_cast<float>(y);
    }
    if (a.states)
      for (int n = 0; n < a.state; ++n) a.states[s][int64_t{c} * a.state + n] = static_cast<float>(h[static_cast<size_t>(n)]);
  }
}

// num and den are kept times exp(-top), so that keys of any size do not overflow.
void rwkv4_scan(const DiagScanArgs& a, int s) {
  const int C = a.channels;
  for (int c = 0; c < C; ++c) {
    float* state = a.states ? a.states[s] : nullptr;
    double num = state ? state[c] : 0, den = state ? state[C + c] : 0, top = state ? state[2 * C + c] : -1e38;
    const double w = a.log_decay[c], u = a.B[c];
    for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
      double k = a.dt[t * a.dt_stride + c], v = a.x[t * a.x_stride + c];
      double m = std::max(top, u + k), e1 = std::exp(top - m), e2 = std::exp(u + k - m);
      a.y[t * a.y_stride + c] = static_cast<float>((e1 * num + e2 * v) / (e1 * den + e2));
      m = std::max(top + w, k);
      e1 = std::exp(top + w - m), e2 = std::exp(k - m);
      num = e1 * num + e2 * v;
      den = e1 * den + e2;
      top = m;
    }
    if (state) {
      state[c] = static_cast<float>(num);
      state[C + c] = static_cast<float>(den);
      state[2 * C + c] = static_cast<float>(top);
    }
  }
}

}  // namespace

void diag_scan(const DiagScanArgs& a) {
  for (int s = 0; s < a.sequences.count(); ++s)
    switch (a.kind) {
      case DiagScan::real: real_scan(a, s); break;
      case DiagScan::selective: selective_scan(a, s); break;
      case DiagScan::rwkv4: rwkv4_scan(a, s); break;
      case DiagScan::complex: complex_scan(a, s); break;
    }
}

}  // namespace headrace::naive
