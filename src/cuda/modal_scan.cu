// Modal scans (ops/kernels/modal_scan.h): a warp for each channel of a sequence, a lane for each of its modes. Where they are coupled, what
// each gets of all is a sum over the warp.
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/sequences.h"
#include "ops/kernels/modal_scan.h"

namespace headrace::cuda {
namespace {

constexpr int lanes = 32, most = 16;               // modes of a lane

__device__ float sum_of(float x) {
  for (int d = lanes / 2; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
  return x;
}

template <bool coupled>
__device__ void scan_one(const ModalScanArgs& a, int64_t c, int64_t begin, int64_t end, float* state, int lane) {
  const int64_t N = a.pole.rows / 2, C = a.u.cols;
  const int own = static_cast<int>((N - lane + lanes - 1) / lanes);
  float p_re[most], p_im[most], r_re[most], r_im[most], re[most], im[most];
  [[maybe_unused]] float b_re[most], b_im[most], q_re[most], q_im[most], low_re[most], low_im[most], low = 0;
  for (int k = 0; k < own; ++k) {
    const int64_t n = lane + k * lanes;
    p_re[k] = a.pole[n][c], p_im[k] = a.pole[N + n][c], r_re[k] = a.residue[n][c], r_im[k] = a.residue[N + n][c];
    re[k] = state ? state[n * C + c] : 0, im[k] = state ? state[(N + n) * C + c] : 0;
    if constexpr (coupled) {
      b_re[k] = a.input[n][c], b_im[k] = a.input[N + n][c], q_re[k] = a.column[n][c], q_im[k] = a.column[N + n][c];
      low_re[k] = a.row[n][c], low_im[k] = a.row[N + n][c], low += low_re[k] * re[k] - low_im[k] * im[k];
    }
  }
  for (int64_t t = begin; t < end; ++t) {
    const float u = a.u[t][c];
    [[maybe_unused]] const float all = coupled ? sum_of(low) : 0;
    float y = 0;
    low = 0;
    for (int k = 0; k < own; ++k) {
      float next = p_re[k] * re[k] - p_im[k] * im[k];
      im[k] = p_re[k] * im[k] + p_im[k] * re[k];
      if constexpr (coupled) next += b_re[k] * u - q_re[k] * all, im[k] += b_im[k] * u - q_im[k] * all;
      else next += u;
      re[k] = next;
      y += r_re[k] * re[k] - r_im[k] * im[k];
      if constexpr (coupled) low += low_re[k] * re[k] - low_im[k] * im[k];
    }
    y = sum_of(y);
    if (lane == 0) a.y[t][c] = y;
  }
  for (int k = 0; k < own && state; ++k) state[(lane + k * lanes) * C + c] = re[k], state[(N + lane + k * lanes) * C + c] = im[k];
}

}  // namespace

void modal_scan(const ModalScanArgs& a) {
  expect(a.pole.rows / 2 <= int64_t{lanes} * most, "cuda: modal_scan: ", a.pole.rows / 2, " modes, at most ", lanes * most);
  const DeviceSequences up(a.sequences, a.states);
  const int64_t warps = block_threads / lanes, C = a.u.cols, all = a.sequences.count() * C;
  for_blocks("modal_scan", (all + warps - 1) / warps, [=, offsets = up.offsets.get(), states = up.states.get()] __device__(int64_t block) {
    const int64_t i = block * warps + threadIdx.x / lanes;
    if (i >= all) return;
    const int64_t s = i / C;
    float* state = states ? states[s] : nullptr;
    if (a.coupled()) scan_one<true>(a, i % C, offsets[s], offsets[s + 1], state, threadIdx.x % lanes);
    else scan_one<false>(a, i % C, offsets[s], offsets[s + 1], state, threadIdx.x % lanes);
  });
}

}  // namespace headrace::cuda
