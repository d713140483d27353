// The contracts between ops and the devices: one struct of arguments and one function pointer per kernel, one table
// per device. Backends (cpu, cuda) and the definitions (naive.cc, double precision) fill a table each; nobody else
// includes them. Activations and states are f32; only weights have other dtypes.
#pragma once
#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace headrace {

enum class Unary { scale, softcap, exp, sigmoid, tanh, silu, gelu_tanh, gelu_erf, relu, relu_squared, softplus, log_sigmoid, sqrt, negate,
                   at_least, at_most,              // max(x, p), min(x, p)
                   sqrt_one_minus_exp };           // sqrt(1 - exp(p x)), x p <= 0, exact where the difference is small
enum class Binary { add, subtract, multiply, silu_multiply, gelu_tanh_multiply, gelu_erf_multiply, sigmoid_multiply };
constexpr int unary_count = static_cast<int>(Unary::sqrt_one_minus_exp) + 1, binary_count = static_cast<int>(Binary::sigmoid_multiply) + 1;
const char* name(Unary f);
const char* name(Binary f);

struct LinearPart {
  const Tensor* weight;     // [out, in], any dtype, either layout
  const float* bias;        // [out] or null
  Rows y;                   // [rows of x, out]
};

// Where the sequences of a ragged batch begin: sequence s has rows offsets[s] .. offsets[s+1].
struct Sequences {
  std::span<const int64_t> offsets;
  int count() const { return static_cast<int>(offsets.size()) - 1; }
  int64_t tokens() const { return offsets.back(); }
};

constexpr int page_tokens = 64;                    // tokens in a page of keys and values

// Keys and values of one sequence in pages: page p holds tokens [64 p, 64 p + 64) as keys [Hkv,K,64], then values [Hkv,64,V]:
// scores of a page are then a product of rows, q [.,K] times keys [K,64], and so is their sum of values.
struct KeyPages {
  float* const* pages;                             // null where a page has left every window
  int64_t length;                                  // tokens stored, the new ones included
};

struct AttentionArgs {
  const float* q; int64_t q_stride;                // [N,H,K], rows q_stride apart
  float* y; int64_t y_stride;                      // [N,H,V]
  int heads, kv_heads, key, value;
  Sequences sequences;
  const KeyPages* keys;                            // one per sequence; the last rows of each are the queries' own tokens
  float scale;
  float cap;                                       // 0: none; scores become cap * tanh(score / cap)
  int64_t window_left, window_right;               // keys j with i - left < j <= i + right; left 0: no bound. causal: right 0
  const float* sinks;                              // [H] or null: one more logit in the denominator
  const float* slopes;                             // [H] or null: ALiBi, score -= slope * (i - j)
};

struct LinearScanArgs {
  const float *q, *k, *v;                          // [N,Hq,K], [N,Hk,K], [N,Hv,V]; each divides H: head h reads h / (H/Hq)
  int64_t q_stride, k_stride, v_stride;
  float* y; int64_t y_stride;                      // [N,H,V]
  int heads, q_heads, k_heads, v_heads, key, value;
  Sequences sequences;
  const float* log_decay;                          // null: none
  int64_t decay_stride;                            // between rows; 0: constant in time
  bool decay_per_key;                              // [.,H,K] or [.,H]
  const float* a; const float* b;                  // [N,H,K]: S += b (a^T S); null: none. a reads the undecayed state
  int64_t a_stride, b_stride;
  const float* beta; int64_t beta_stride;          // [N,H]: delta rule, decay first; null: none
  const float* bonus;                              // [H,K]: read before the update plus bonus; null: read after it
  float scale;
  float* const* states;                            // one [H,K,V] per sequence, updated in place; null: zero, not kept
};

enum class DiagScan { real, selective, rwkv4 };
struct DiagScanArgs {
  // real: h_t = exp(log_decay_t) h_{t-1} + x_t, y = h.                                     state [C]
  // selective (Mamba): h[c,n] = exp(dt[c] A[c,n]) h[c,n] + dt[c] B[n] x[c]; y[c] = sum_n C[n] h[c,n]. state [C,N]
  // rwkv4: num, den, max of the weighted sums in log space, decay and bonus constant.      state [3,C]
  DiagScan kind;
  const float* x; int64_t x_stride;                // [N,C]; rwkv4: v
  const float* log_decay; int64_t decay_stride;    // real: [N,C]; selective: A [C,N]; rwkv4: w [C] (negative)
  const float* dt; int64_t dt_stride;              // selective: [N,C]; rwkv4: k
  const float* B; int64_t B_stride;                // selective: [N,N]; rwkv4: bonus u [C]
  const float* C; int64_t C_stride;
  float* y; int64_t y_stride;
  int channels, state;
  Sequences sequences;
  float* const* states;                            // in place; null: the initial state, not kept
};

struct ShortConvArgs {
  Rows x, y;                                       // [N,C]
  const float* weight;                             // [C,taps], the last tap meets the current token; null: y_t = x_{t-1}
  const float* bias;                               // [C] or null
  int taps;
  bool silu;
  Sequences sequences;
  float* const* states;                            // one [taps-1,C] per sequence, oldest first, updated; null: zeros, not kept
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
  void (*lerp)(Rows a, Rows b, Rows t, Rows y);                // a + (b - a) t; t may have one row
  void (*mix)(Rows a, Rows b, Rows t, float* y);               // t [1 or N, M*D] -> y [M,N,D]: y_m = a + (b - a) t_m
  void (*where_starts)(std::span<const int32_t> positions, float value, Rows x, Rows y);   // value at position 0, else x
  void (*rms_norm)(Rows x, const float* w, float offset, float eps, int groups, Rows y);   // w [cols] or null
  void (*layer_norm)(Rows x, const float* w, const float* b, float eps, int groups, Rows y);
  void (*l2_norm)(Rows x, float eps, bool clamp, int groups, Rows y);   // clamp: x / max(|x|, eps), else eps in the root
  void (*embedding)(const Tensor& table, std::span<const int32_t> ids, Rows y);
  void (*linear)(Rows x, std::span<const LinearPart> parts);
  void (*block_linear)(Rows x, const float* w, const float* b, int blocks, Rows y);   // w [H, in, out]
  void (*head_dot)(Rows a, Rows b, const float* w, int heads, Rows y);   // [N,H,D] x2, w [H,D] or null -> [N,H]
  void (*scale_heads)(Rows x, Rows s, int heads, Rows y);                // x [N,H,D] times s [N,H]
  void (*rope)(const RopeArgs& args);
  void (*append_keys)(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                      const Sequences& sequences, const KeyPages* keys);
  void (*attention)(const AttentionArgs& args);
  void (*linear_scan)(const LinearScanArgs& args);
  void (*diag_scan)(const DiagScanArgs& args);
  void (*short_conv)(const ShortConvArgs& args);
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
void missing_kernel [[noreturn]] (const char* device, const char* kernel);

}  // namespace headrace
