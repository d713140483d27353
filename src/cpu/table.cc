// What the CPU can do, in one list.
#include "cpu/kernels.h"
#include "cpu/dot.h"
#include "cpu/panel.h"
#include "ops/kernels/attention.h"

namespace headrace::cpu {

const Kernels& kernels() {
  static const Kernels table{
      .device = "cpu", .unary = unary, .binary = binary, .unary_backward = unary_backward, .sum = sum,
      .lerp = lerp, .mix = mix, .where_starts = where_starts, .rms_norm = rms_norm,
      .layer_norm = layer_norm, .l2_norm = l2_norm, .norm_backward = norm_backward, .softmax = softmax, .softmax_backward = softmax_backward,
      .entmax = entmax, .entmax_backward = entmax_backward, .top_k = top_k, .embedding = embedding,
      .embedding_backward = embedding_backward, .linear = linear, .product = product,
      .block_linear = block_linear,
      .head_dot = head_dot, .scale_heads = scale_heads, .rope = rope, .append_keys = append_keys, .append_gates = append_gates,
      .attention = attention,
      .attention_backward = attention_backward, .linear_scan = linear_scan, .linear_scan_backward = linear_scan_backward,
      .log_linear = log_linear,
      .running_max = running_max, .normalise = normalise, .normalise_backward = normalise_backward, .diag_scan = diag_scan,
      .diag_scan_backward = diag_scan_backward, .cell_scan = cell_scan, .cell_scan_backward = cell_scan_backward, 
      .memory_scan = memory_scan, .memory_scan_backward = memory_scan_backward, .short_conv = short_conv,
      .short_conv_backward = short_conv_backward, .long_conv = long_conv,
      .modal_scan = modal_scan, .modal_scan_backward = modal_scan_backward,
      .complex_unary = complex_unary, .modal_filter = modal_filter, .cauchy = cauchy, .inverse_fourier = inverse_fourier,
      .cross_entropy = cross_entropy, .cross_entropy_backward = cross_entropy_backward, .dropout = dropout, .square_sum = square_sum,
      .adam_step = adam_step,
      .pack = pack, .synchronize = nullptr,
      .peak = peak, .instructions = instructions};
  dots();                                                    // chooses the instructions before any of them runs
  return table;
}

}  // namespace headrace::cpu
