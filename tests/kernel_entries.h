// The entries of a table of kernels by their names, and whether the device has them: tests ask the table itself.
#pragma once
#include <map>
#include <string>

#include "ops/kernels.h"

namespace headrace {

inline std::map<std::string, bool> kernel_entries(const Kernels& k) {
  const auto has = [](auto* entry) { return entry != nullptr; };
  return {{"unary", has(k.unary)}, {"binary", has(k.binary)}, {"unary_backward", has(k.unary_backward)}, {"sum", has(k.sum)},
          {"lerp", has(k.lerp)}, {"mix", has(k.mix)}, {"where_starts", has(k.where_starts)}, {"rms_norm", has(k.rms_norm)},
          {"layer_norm", has(k.layer_norm)}, {"l2_norm", has(k.l2_norm)}, {"norm_backward", has(k.norm_backward)}, {"softmax", has(k.softmax)},
          {"softmax_backward", has(k.softmax_backward)}, {"entmax", has(k.entmax)}, {"entmax_backward", has(k.entmax_backward)},
          {"top_k", has(k.top_k)}, {"embedding", has(k.embedding)}, {"embedding_backward", has(k.embedding_backward)},
          {"linear", has(k.linear)}, {"product", has(k.product)}, {"block_linear", has(k.block_linear)}, {"head_dot", has(k.head_dot)},
          {"scale_heads", has(k.scale_heads)}, {"rope", has(k.rope)}, {"append_keys", has(k.append_keys)}, {"append_gates", has(k.append_gates)},
          {"attention", has(k.attention)}, {"attention_backward", has(k.attention_backward)}, {"linear_scan", has(k.linear_scan)},
          {"linear_scan_backward", has(k.linear_scan_backward)}, {"log_linear", has(k.log_linear)}, {"running_max", has(k.running_max)},
          {"normalise", has(k.normalise)},
          {"normalise_backward", has(k.normalise_backward)}, {"diag_scan", has(k.diag_scan)}, {"diag_scan_backward", has(k.diag_scan_backward)},
          {"cell_scan", has(k.cell_scan)}, {"cell_scan_backward", has(k.cell_scan_backward)}, {"memory_scan", has(k.memory_scan)},
          {"memory_scan_backward", has(k.memory_scan_backward)}, {"short_conv", has(k.short_conv)},
          {"short_conv_backward", has(k.short_conv_backward)}, {"long_conv", has(k.long_conv)}, {"modal_scan", has(k.modal_scan)},
          {"modal_scan_backward", has(k.modal_scan_backward)}, {"complex_unary", has(k.complex_unary)},
          {"modal_filter", has(k.modal_filter)}, {"cauchy", has(k.cauchy)}, {"inverse_fourier", has(k.inverse_fourier)},
          {"cross_entropy", has(k.cross_entropy)},
          {"cross_entropy_backward", has(k.cross_entropy_backward)}, {"dropout", has(k.dropout)}, {"square_sum", has(k.square_sum)},
          {"adam_step", has(k.adam_step)},
          {"pack", has(k.pack)}, {"synchronize", has(k.synchronize)}, {"peak", has(k.peak)}, {"instructions", has(k.instructions)}};
}
// One less than the table's pointers, the first of which is the device's name: none is forgotten above.
constexpr size_t kernel_count = sizeof(Kernels) / sizeof(void*) - 1;

}  // namespace headrace
