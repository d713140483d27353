// What CUDA can do, in one list. There are no backward kernels: a gradient asked of this device fails by the kernel's name.
#include "cuda/device.h"
#include "cuda/kernels.h"

namespace headrace::cuda {

const Kernels& kernels() {
  static const Kernels table = [] {
    open();
    return Kernels{
        .device = "cuda", .unary = unary, .binary = binary, .sum = sum, .lerp = lerp, .mix = mix, .where_starts = where_starts,
        .rms_norm = rms_norm, .layer_norm = layer_norm, .l2_norm = l2_norm, .softmax = softmax, .entmax = entmax, .top_k = top_k,
        .embedding = embedding, .linear = linear, .product = product, .block_linear = block_linear, .head_dot = head_dot,
        .scale_heads = scale_heads, .rope = rope, .append_keys = append_keys, .append_gates = append_gates, .attention = attention,
        .linear_scan = linear_scan, .running_max = running_max, .normalise = normalise, .diag_scan = diag_scan, .cell_scan = cell_scan,
        .short_conv = short_conv, .long_conv = long_conv, .modal_scan = modal_scan,
        .complex_unary = complex_unary, .modal_filter = modal_filter, .cauchy = cauchy,
        .inverse_fourier = inverse_fourier, .pack = nullptr, .synchronize = synchronize, .peak = nullptr, .instructions = instructions};
  }();
  return table;
}

}  // namespace headrace::cuda
