// Ops without time. Activations are f32 with tokens first: x [N,D] or [N,H,D], N the tokens of a ragged batch one after
// the other. A result has fresh memory. Each checks its arguments and throws Error with the op, the shapes and the names.
#pragma once
#include <initializer_list>
#include <span>
#include <vector>

#include "ops/functions.h"
#include "tensor/tensor.h"

namespace headrace {

Tensor unary(Unary f, const Tensor& x, float parameter = 0);
Tensor binary(Binary f, const Tensor& a, const Tensor& b);       // b: a's shape, one row, or one column (broadcast)

inline Tensor operator+(const Tensor& a, const Tensor& b) { return binary(Binary::add, a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return binary(Binary::subtract, a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return binary(Binary::multiply, a, b); }
inline Tensor operator*(float s, const Tensor& x) { return unary(Unary::scale, x, s); }
inline Tensor exp(const Tensor& x) { return unary(Unary::exp, x); }
inline Tensor sigmoid(const Tensor& x) { return unary(Unary::sigmoid, x); }
inline Tensor tanh(const Tensor& x) { return unary(Unary::tanh, x); }
inline Tensor silu(const Tensor& x) { return unary(Unary::silu, x); }
inline Tensor gelu(const Tensor& x) { return unary(Unary::gelu_tanh, x); }             // tanh approximation
inline Tensor gelu_erf(const Tensor& x) { return unary(Unary::gelu_erf, x); }
inline Tensor relu_squared(const Tensor& x) { return unary(Unary::relu_squared, x); }
inline Tensor softplus(const Tensor& x) { return unary(Unary::softplus, x); }
inline Tensor log_sigmoid(const Tensor& x) { return unary(Unary::log_sigmoid, x); }
inline Tensor log(const Tensor& x) { return unary(Unary::log, x); }
inline Tensor reciprocal(const Tensor& x) { return unary(Unary::reciprocal, x); }
inline Tensor sin(const Tensor& x) { return unary(Unary::sin, x); }                    // |x| up to 1e4: one f32 of the angle is what it can say
inline Tensor cos(const Tensor& x) { return unary(Unary::cos, x); }
inline Tensor elu_plus_one(const Tensor& x) { return unary(Unary::elu_plus_one, x); }
inline Tensor at_least(const Tensor& x, float low) { return unary(Unary::at_least, x, low); }
inline Tensor at_most(const Tensor& x, float high) { return unary(Unary::at_most, x, high); }
inline Tensor sqrt_one_minus_exp(const Tensor& x, float p) { return unary(Unary::sqrt_one_minus_exp, x, p); }   // sqrt(1 - exp(p x))
inline Tensor softcap(const Tensor& x, float cap) { return cap > 0 ? unary(Unary::softcap, x, cap) : x; }   // cap tanh(x / cap)

Tensor sum_rows(const Tensor& x);                                // [N,...] -> [...]: over tokens
Tensor sum_columns(const Tensor& x);                             // [...,D] -> [rows]: over the last dimension
void add_into(const Tensor& x, Tensor& y);                       // y += x in place, and y = x: for gradients, nothing is recorded
void copy_into(const Tensor& x, Tensor& y);
// a b^T and its kin, all f32: a [m,k] or, transposed, [k,m]; b [k,n] or, transposed, [n,k].
Tensor matmul(const Tensor& a, const Tensor& b, bool a_transposed = false, bool b_transposed = false);

Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& t);  // a + (b - a) t; t a row or a's shape
// Several lerps of one pair: y_m = a + (b - a) t_m. t [M,D], or [N,M,D] where it differs by token; y [M,N,D], so that y[m] is a whole.
Tensor mix(const Tensor& a, const Tensor& b, const Tensor& t);
Tensor where_starts(std::span<const int32_t> positions, float value, const Tensor& x);   // value where position is 0

// y = x / rms(x) (offset + w), statistics over each of `groups` equal parts of the last dimension. w [D] or none.
// Zhang and Sennrich 2019; offset 1 is Gemma's.
struct RmsNorm { float eps = 1e-5f, offset = 0; int groups = 1; };
Tensor rms_norm(const Tensor& x, const Tensor& w, RmsNorm options = {});
Tensor layer_norm(const Tensor& x, const Tensor& w, const Tensor& b, float eps = 1e-5f, int groups = 1);   // groups: group norm
Tensor l2_norm(const Tensor& x, float eps = 1e-6f, bool clamp = false);   // over the last dimension

Tensor softmax(const Tensor& x);                                          // over the last dimension
// p = [1 + (alpha-1) (x - t)]_+^(1/(alpha-1)) over the last dimension, t such that they sum to 1: 1 is softmax, 2 sparsemax.
// alpha >= 1: one number, or one a row (all leading dimensions joined). Peters, Niculae, Martins 2019, 1905.05702.
Tensor entmax(const Tensor& x, const Tensor& alpha);
struct TopK { Tensor values, columns; };                                  // [...,k] both, largest first; columns i64
TopK top_k(const Tensor& x, int64_t k);                                   // of the last dimension

Tensor embedding(const Tensor& table, std::span<const int32_t> ids);      // [N, width]
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});   // x [N,in], weight [out,in] -> [N,out]
// Several products at once, of one input or of as many rows each: one pass over the threads, an input quantised once.
struct Weight { const Tensor& weight; const Tensor& bias; };
struct Product { const Tensor& x; const Tensor& weight; const Tensor& bias; };
std::vector<Tensor> linear(const Tensor& x, std::initializer_list<Weight> weights);
std::vector<Tensor> linear(std::span<const Product> products);
inline std::vector<Tensor> linear(std::initializer_list<Product> products) { return linear(std::span(products.begin(), products.size())); }
Tensor block_linear(const Tensor& x, const Tensor& w, const Tensor& b);   // block diagonal; w [H,in,out], b [H,out]

Tensor with_ones(const Tensor& v);                                        // [N,H,V] -> [N,H,V+1]: a last column of ones
// Weighted means of a linear scan's answers by their last column n, what it made of the ones. x [N,H,V+1] -> [N,H,V]: x over n + eps;
// with floor [N,H], a constant: over max(|n|, floor) + eps.
Tensor normalised(const Tensor& x, const Tensor& floor, float eps);
Tensor head_dot(const Tensor& a, const Tensor& b, const Tensor& w);       // [N,H,D] x2, w [H,D] or none -> [N,H] sums over D
Tensor scale_heads(const Tensor& x, const Tensor& s);                     // [N,H,D] times [N,H]

struct Rope {
  int rotary = 0;                       // dimensions of a head that turn; 0: none
  bool interleaved = false;             // pairs (2i, 2i+1), else (i, i + rotary/2)
  float factor = 1;                     // attention factor of yarn and longrope
  std::vector<float> inverse_frequency; // [rotary/2]
  double base = 0;                      // that they came from; for people
};
Tensor rope(const Tensor& x, const Rope& options, std::span<const int32_t> positions);   // x [N,H,D]. Su et al. 2021

Tensor concat(const std::vector<Tensor>& parts);                          // along the last dimension, same rows
Tensor concat(std::initializer_list<Tensor> parts);
Tensor concat_rows(const std::vector<Tensor>& parts);                     // along the first dimension
Tensor transposed(const Tensor& x);                                       // [M,N] -> [N,M]
Tensor take_rows(const Tensor& x, std::span<const int64_t> rows);

}  // namespace headrace
