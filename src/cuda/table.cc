#include "cuda/device.h"
#include "cuda/kernels.h"

namespace headrace::cuda {

const Kernels& kernels() {
  static const Kernels table = [] {
    open();
    return Kernels{
        .device = "cuda", .unary = unary, .binary = binary, .lerp = lerp, .mix = mix, .where_starts = where_starts, .rms_norm = rms_norm,
        .layer_norm = layer_norm, .l2_norm = l2_norm, .embedding = embedding, .linear = linear, .block_linear = block_linear,
        .head_dot = head_dot, .scale_heads = scale_heads, .rope = rope, .append_keys = append_keys, .attention = attention,
        .linear_scan = linear_scan, .diag_scan = diag_scan, .short_conv = short_conv, .pack = nullptr, .synchronize = synchronize,
        .peak = nullptr, .instructions = instructions};
  }();
  return table;
}

}  // namespace headrace::cuda
