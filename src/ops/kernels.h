// The contracts between ops and the devices: a function pointer per kernel, one table per device; the arguments of the
// sequence primitives are in ops/kernels/. Backends (cpu, cuda) and the definitions (naive.cc, double precision) fill a table
// each; nobody else includes them. Activations and states are f32; only weights have other dtypes.
#pragma once
#include <cstdint>
#include <span>

#include "ops/functions.h"
#include "ops/slot.h"
#include "tensor/tensor.h"

namespace headrace {

struct KeyPages;                                   // ops/kernels/attention.h
struct AttentionArgs;
struct AttentionBackwardArgs;
struct LinearScanArgs;                             // ops/kernels/linear_scan.h
struct LinearScanBackward;
struct LogLinearArgs;                              // ops/kernels/log_linear.h
struct DiagScanArgs;                               // ops/kernels/diag_scan.h
struct DiagScanBackwardArgs;
struct CellScanArgs;                               // ops/kernels/cell_scan.h
struct CellScanBackwardArgs;
struct MemoryScanArgs;                             // ops/kernels/memory_scan.h
struct MemoryScanBackwardArgs;
struct ShortConvArgs;                              // ops/kernels/short_conv.h
struct ShortConvBackward;
struct LongConvArgs;                               // ops/kernels/long_conv.h
struct ModalScanArgs;                              // ops/kernels/modal_scan.h
struct ModalScanBackwardArgs;
struct ComplexRows;                                // ops/kernels/filters.h
struct ModalFilterArgs;
struct CauchyArgs;
struct CrossEntropyArgs;                           // ops/kernels/training.h
struct CrossEntropyBackwardArgs;
struct AdamArgs;
struct DropoutArgs;

struct LinearPart {
  Rows x;                   // [N, in]
  const Tensor* weight;     // [out, in], any dtype, either layout
  const float* bias;        // [out] or null
  Rows y;                   // [N, out]
  bool exact;               // x is not rounded, whatever the weight is stored in
  bool bf16;                // x and the weight, one in rows, are rounded to bf16, to nearest even
};

// c (+)= op(a) op(b), all f32, rows in memory `lda` apart: a [m,k] (transposed: stored [k,m]), b [k,n] (transposed: [n,k]), c [m,n].
struct MatrixProduct {
  bool a_transposed, b_transposed;
  int64_t m, n, k;
  const float* a; int64_t lda;
  const float* b; int64_t ldb;
  float* c; int64_t ldc;
  bool add;                                        // to what c holds
  bool bf16;                                       // a and b are rounded to bf16, to nearest even; sums are f32
};

// dx of a norm, y = xhat (offset + w) [+ b], xhat = (x - mean) r; and dy xhat, whose sum over rows is dw.
struct NormBackward {
  NormKind kind;
  Rows x, dy, dx;
  const float* w;                                  // [cols] or null: 1
  float offset, eps;
  int groups;
  Rows dy_xhat;                                    // data null: not wanted
};

// Rows of alpha-entmax: p = [1 + (alpha-1) (x - t)]_+^(1/(alpha-1)), t such that they sum to 1; alpha [1 or rows].
struct EntmaxBackward {
  Rows x, dy, dx;
  std::span<const float> alpha;
  float* dalpha;                                   // [alpha.size()] or null
};

struct RopeArgs {
  const float* x; int64_t x_stride;                // [N,H,D]
  float* y; int64_t y_stride;
  int heads, width, rotary;                        // the first `rotary` dimensions of a head are rotated
  bool interleaved;                                // pairs (2i, 2i+1), else (i, i + rotary/2)
  float factor;                                    // multiplies cos and sin
  const float* inverse_frequency;                  // [rotary/2], host memory
  std::span<const int32_t> positions;              // [N]
};

// What the device can do at most, measured by its own instructions on all threads: the floors that speed is held to.
struct Peak { double read_bytes, f32_flops, int8_ops; };   // per second; 0: not measured

struct Kernels {
  const char* device;
  void (*unary)(Unary f, float parameter, Rows x, Rows y);
  void (*binary)(Binary f, Rows a, Rows b, Rows y);            // b may have one row, or one column: broadcast
  void (*unary_backward)(Unary f, float parameter, Rows x, Rows dy, Rows dx);   // dx = dy f'(x)
  void (*sum)(Rows x, bool over_rows, float* y);               // [cols] sums over rows, or [rows] sums over columns
  void (*lerp)(Rows a, Rows b, Rows t, Rows y);                // a + (b - a) t; t may have one row
  void (*mix)(Rows a, Rows b, Rows t, float* y);               // t [1 or N, M*D] -> y [M,N,D]: y_m = a + (b - a) t_m
  void (*where_starts)(std::span<const int32_t> positions, float value, Rows x, Rows y);   // value at position 0, else x
  void (*rms_norm)(Rows x, const float* w, float offset, float eps, int groups, Rows y);   // w [cols] or null
  void (*layer_norm)(Rows x, const float* w, const float* b, float eps, int groups, Rows y);
  void (*l2_norm)(Rows x, float eps, bool clamp, int groups, Rows y);   // clamp: x / max(|x|, eps), else eps in the root
  void (*norm_backward)(const NormBackward& args);
  void (*softmax)(Rows x, Rows y);                             // over the columns
  void (*softmax_backward)(Rows y, Rows dy, Rows dx);
  void (*entmax)(Rows x, std::span<const float> alpha, Rows y);
  void (*entmax_backward)(const EntmaxBackward& args);
  void (*top_k)(Rows x, Rows values, int64_t* columns);        // the values.cols largest of each row, largest first
  void (*embedding)(const Tensor& table, std::span<const int32_t> ids, Rows y);
  void (*embedding_backward)(std::span<const int32_t> ids, Rows dy, Rows dtable);   // dtable[ids[i]] += dy[i], in order
  void (*linear)(std::span<const LinearPart> parts);           // as many rows in all
  void (*product)(const MatrixProduct& args);
  void (*block_linear)(Rows x, const float* w, const float* b, int blocks, Rows y);   // w [H, in, out]
  void (*head_dot)(Rows a, Rows b, const float* w, int heads, Rows y);   // [N,H,D] x2, w [H,D] or null -> [N,H]
  void (*scale_heads)(Rows x, Rows s, int heads, Rows y);                // x [N,H,D] times s [N,H]
  void (*rope)(const RopeArgs& args);
  void (*append_keys)(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                      const Sequences& sequences, const KeyPages* keys);
  void (*append_gates)(Rows log_gates, int64_t at, const Sequences& sequences, const KeyPages* keys);   // at: of the sums in a page
  void (*attention)(const AttentionArgs& args);
  void (*attention_backward)(const AttentionBackwardArgs& args);
  void (*linear_scan)(const LinearScanArgs& args);
  void (*linear_scan_backward)(const LinearScanBackward& args);
  void (*log_linear)(const LogLinearArgs& args);   // may be null: composed of linear scans then, as for its gradients
  // y_t = max(decay_t + y_{t-1}, x_t), fell_t = y_{t-1} - y_t. states: one [cols] per sequence, what y was before and becomes
  void (*running_max)(Rows decay, Rows x, const Sequences& sequences, float* const* states, Rows y, Rows fell);
  // y [N,H,V] = x's first V columns over its last, n, plus eps; floor [N,H]: over max(|n|, floor), plus eps. x [N,H,V+1]
  void (*normalise)(Rows x, Rows floor, float eps, int heads, Rows y);
  void (*normalise_backward)(Rows x, Rows floor, float eps, int heads, Rows dy, Rows dx);
  void (*diag_scan)(const DiagScanArgs& args);
  void (*diag_scan_backward)(const DiagScanBackwardArgs& args);
  void (*cell_scan)(const CellScanArgs& args);
  void (*cell_scan_backward)(const CellScanBackwardArgs& args);
  void (*memory_scan)(const MemoryScanArgs& args);
  void (*memory_scan_backward)(const MemoryScanBackwardArgs& args);
  void (*short_conv)(const ShortConvArgs& args);
  void (*short_conv_backward)(const ShortConvBackward& args);
  void (*long_conv)(const LongConvArgs& args);     // and its gradients
  void (*modal_scan)(const ModalScanArgs& args);
  void (*modal_scan_backward)(const ModalScanBackwardArgs& args);
  void (*complex_unary)(ComplexUnary f, bool slope, ComplexRows z, ComplexRows y);   // f, or its derivative
  void (*modal_filter)(const ModalFilterArgs& args);   // and its gradients
  void (*cauchy)(const CauchyArgs& args);              // and its gradients
  void (*inverse_fourier)(ComplexRows spectrum, bool transposed, Rows x);   // [M,n/2+1] -> [M,n]; transposed: the gradient's way
  void (*cross_entropy)(const CrossEntropyArgs& args);
  void (*cross_entropy_backward)(const CrossEntropyBackwardArgs& args);
  void (*dropout)(const DropoutArgs& args);        // and its gradient
  void (*square_sum)(Rows x, double* sum);         // sum: host memory
  void (*adam_step)(const AdamArgs& args);
  Tensor (*pack)(const Tensor& weight);            // the device's own arrangement of a matrix; may be null
  void (*synchronize)();                           // waits for the device; may be null
  Peak (*peak)();                                  // takes about a second; may be null
  const char* (*instructions)();                   // "avx512-vnni": what the kernels are made of; may be null
};

const Kernels& kernels(Device device);             // throws Error when the device is not there
const Kernels& naive_kernels();
// While one lives in a thread, ops of the CPU run the definitions instead of the CPU's kernels.
struct UseNaive {
  UseNaive();
  ~UseNaive();
 private:
  bool before_;
};
// While one lives in a thread, no product rounds its input: those of block dtypes then unpack their weights instead of reading the
// input in 8 bits. Slower; how the input is associated is then all that is left between two forms of one sequence.
struct UseExactInputs {
  UseExactInputs();
  ~UseExactInputs();
  static bool now();
 private:
  bool before_;
};
// While one lives in a thread, products of matrices in rows, and their gradients, round their operands to bf16: training's mixed precision
// (Micikevicius et al. 2017, 1710.03740). The rounding is the definition, the same on every device; the order of sums is the device's.
struct UseBf16Products {
  explicit UseBf16Products(bool on = true);
  ~UseBf16Products();
  static bool now();
 private:
  bool before_;
};
void missing_kernel [[noreturn]] (const char* device, const char* kernel);

}  // namespace headrace
