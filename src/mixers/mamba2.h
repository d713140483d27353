// Mamba-2, state-space duality (Dao and Gu 2024, 2405.21060, sections 6 and 7): one decay a head, a matrix as state.
//
//   [z; x; B; C; dt] = W_in u;  x, B, C = silu(conv([x; B; C]))        H heads of P, B and C in G groups of N
//   dt = clamp(softplus(dt + b)),  A = -exp(A_log)                     one a head
//   S_t = exp(dt A) S_{t-1} + B (dt x)^T,  y = S_t^T C + D x           head h reads group h / (H/G)
//   out = W_out rms(y silu(z))                                         statistics over each group's H P / G channels
//
// State: H N P + (H P + 2 G N)(taps - 1) floats. Cost of a token: O(D H P + H N P), whatever came before.
#pragma once
#include <limits>

#include "nn/layer.h"

namespace headrace {

struct Mamba2 {
  struct Options {
    int width, heads, head_dim, groups, state, taps = 4;   // D, H, P, G, N
    bool conv_bias = true, bias = false;                   // bias: of in_proj and out_proj
    float norm_eps = 1e-5f;
    float dt_least = 0, dt_most = std::numeric_limits<float>::infinity();
    int inner() const { return heads * head_dim; }
    int mixed() const { return inner() + 2 * groups * state; }   // channels of the convolution
  };
  Options o;
  Linear in, out;
  Tensor conv, conv_bias, dt_bias, A, D;                   // A [H] negative, D [HP]
  Norm norm;

  static Mamba2 bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
  static std::string text(const Options& o);
};

}  // namespace headrace
