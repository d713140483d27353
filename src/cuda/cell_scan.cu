// Cells with a recurrent product (ops/kernels/cell_scan.h), token by token in double precision: a block for each sequence, a thread for
// each of its channels.
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/sequences.h"
#include "ops/kernels/cell_scan.h"

namespace headrace::cuda {
namespace {

__device__ double sigmoid(double x) { return 1 / (1 + exp(-x)); }

// h in two rows that take turns, since every channel reads all of a head's; then the rows that a channel keeps to itself.
__device__ void scan_one(const CellScanArgs& a, int64_t begin, int64_t end, float* state, double* rows) {
  const int64_t C = a.channels, P = C / a.heads;
  const int G = gates_of(a.kind), S = states_of(a.kind);
  double *h = rows, *next = rows + C;
  double* own = rows + 2 * C;                      // [S - 1, C]
  for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
    h[c] = state ? state[c] : 0;
    for (int k = 1; k < S; ++k) own[(k - 1) * C + c] = state ? state[k * C + c] : k == 3 ? slstm_lowest : 0;
  }
  __syncthreads();
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      double in[4], product[4];
      for (int g = 0; g < G; ++g) {
        const float* w = a.recurrent + (g * C + c) * P;
        const double* heard = h + c / P * P;
        double sum = a.bias ? a.bias[g * C + c] : 0;
        for (int64_t j = 0; j < P; ++j) sum += w[j] * heard[j];
        product[g] = sum, in[g] = a.x[t * a.x_stride + g * C + c];
      }
      auto gate = [&](int g) { return in[g] + product[g]; };
      double y;
      if (a.kind == Cell::lstm) {
        double& cell = own[c];
        cell = sigmoid(gate(1)) * cell + sigmoid(gate(0)) * tanh(gate(2));
        y = sigmoid(gate(3)) * tanh(cell);
      } else if (a.kind == Cell::gru) {
        const double z = sigmoid(gate(1));
        y = (1 - z) * tanh(in[2] + sigmoid(gate(0)) * product[2]) + z * h[c];
      } else {
        double &cell = own[c], &n = own[C + c], &m = own[2 * C + c];
        const double decayed = m - log1p(exp(-gate(1))), high = fmax(gate(0), decayed), i = exp(gate(0) - high), f = exp(decayed - high);
        cell = f * cell + i * tanh(gate(2)), n = f * n + i, m = high;
        y = sigmoid(gate(3)) * cell / n;
      }
      next[c] = y;
      a.y[t * C + c] = static_cast<float>(y);
    }
    __syncthreads();
    double* before = h;
    h = next, next = before;
  }
  for (int64_t c = threadIdx.x; c < C && state; c += blockDim.x) {
    state[c] = static_cast<float>(h[c]);
    for (int k = 1; k < S; ++k) state[k * C + c] = static_cast<float>(own[(k - 1) * C + c]);
  }
}

}  // namespace

void cell_scan(const CellScanArgs& a) {
  expect(a.saved == nullptr, "cuda: the kernel 'cell_scan' saves nothing for gradients");
  const DeviceSequences up(a.sequences, a.states);
  const int64_t row = int64_t{a.channels} * (1 + states_of(a.kind));
  const auto rows = scratch<double>(row * a.sequences.count());
  for_blocks("cell_scan", a.sequences.count(), [=, offsets = up.offsets.get(), states = up.states.get(), at = rows.get()] __device__(int64_t s) {
    scan_one(a, offsets[s], offsets[s + 1], states ? states[s] : nullptr, at + s * row);
  });
}

}  // namespace headrace::cuda
