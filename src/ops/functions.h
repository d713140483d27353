// The names of functions that ops take as arguments.
#pragma once

namespace headrace {

enum class Unary { scale, softcap, exp, sigmoid, tanh, silu, gelu_tanh, gelu_erf, relu, relu_squared, softplus, log_sigmoid, sqrt, negate,
                   log, reciprocal, sin, cos, abs, elu_plus_one,   // elu_plus_one: exp(x) below 0, x + 1 above
                   at_least, at_most,              // max(x, p), min(x, p)
                   sqrt_one_minus_exp };           // sqrt(1 - exp(p x)), x p <= 0, exact where the difference is small
enum class Binary { add, subtract, multiply, silu_multiply, gelu_tanh_multiply, gelu_erf_multiply, sigmoid_multiply };
constexpr int unary_count = static_cast<int>(Unary::sqrt_one_minus_exp) + 1, binary_count = static_cast<int>(Binary::sigmoid_multiply) + 1;
const char* name(Unary f);
const char* name(Binary f);
// Of state-space models: (e^z - 1) / z; log((1 + z/2) / (1 - z/2)); 1 / (1 - z/2).
enum class ComplexUnary { zero_order_hold, bilinear_log, bilinear_gain };
enum class NormKind { rms, layer, l2, l2_clamped };

}  // namespace headrace
