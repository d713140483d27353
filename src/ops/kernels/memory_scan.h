// The contract of memory_scan's kernels: a small network whose weights are the state and are trained on the way (Behrouz et al.
// 2025, 2501.00663; docs/math/titans.md).
//
//   net(x; M) = mlp(x), or x + norm(mlp(x)) (1 + gamma):  mlp = matrices with gelu (erf) between, norm = layer norm
//   token t:         G += rate_t c(g),  g = grad_B 1/2 |net(k_t; B) - v_t|^2,  c(g) = g, or with clip = C > 0 g C / sqrt(C^2 + |g|^2)
//   end of a chunk:  S = eta S - G,  M = (1 - alpha) M + S,  G = 0;  eta, alpha: of the chunk's mean
//   then             y_t = net(q_t; M);   end of a batch: B = M
#pragma once
#include "ops/slot.h"

namespace headrace {

struct MemoryNet {
  int key, value, hidden, depth;                   // of a head; matrices [key,hidden], [hidden,hidden].., [hidden,value]; depth 1: [key,value]
  bool norm;                                       // key = value then
  float eps;                                       // of the norm

  int64_t in(int l) const { return l == 0 ? key : hidden; }
  int64_t out(int l) const { return l == depth - 1 ? value : hidden; }
  int64_t at(int l) const {                        // where matrix l begins; gamma is before them
    int64_t n = norm ? value : 0;
    for (int i = 0; i < l; ++i) n += in(i) * out(i);
    return n;
  }
  int64_t weights() const { return at(depth); }    // P
};

struct MemoryScanArgs {
  const float *q, *k, *v;                          // [N,H,K] x2, [N,H,V]
  int64_t q_stride, k_stride, v_stride;
  const float* rate; int64_t rate_stride;          // [N,H]
  bool learns;                                     // else y_t = net(q_t; M) alone: no k, v, rate, gates
  bool has_momentum;                               // else no S: M takes -G
  const float* momentum; int64_t momentum_stride;  // [N,H] eta
  const float* forget; int64_t forget_stride;      // [N,H] alpha; null: 0
  bool logits;                                     // eta and alpha are sigmoid(mean over the chunk), else the mean
  int64_t chunk, batch;                            // batch: a multiple of chunk; 0: B stays the initial memory
  float clip;                                      // bounds the norm of a token's g, all of a head's weights together; 0: off
  float* y; int64_t y_stride;                      // [N,H,V]
  MemoryNet net;
  int heads;
  Sequences sequences;
  const float* initial;                            // [H,P] or null: zero
  float* const* states;                            // [H,state()] in place; null: begins with `initial`, not kept

  // A head's state: M [P], S [P] with momentum, B [P] where it may differ from both M and the initial memory, G [P] where a chunk
  // has more tokens than one, then, where a place must be known: sums of eta and alpha over the open chunk, and the tokens of the batch.
  bool keeps_base() const { return batch > chunk; }
  int64_t momentum_at() const { return net.weights(); }
  int64_t base_at() const { return net.weights() * (has_momentum ? 2 : 1); }
  int64_t open_at() const { return base_at() + (keeps_base() ? net.weights() : 0); }
  int64_t place_at() const { return open_at() + (chunk > 1 ? net.weights() : 0); }
  int64_t state() const { return place_at() + (chunk > 1 || batch > 1 ? 3 : 0); }
  int64_t period() const { return batch > 0 ? batch : chunk; }
};

struct MemoryScanBackwardArgs {
  MemoryScanArgs forward;                          // y and states are not used
  const float* const* first;                       // what each sequence began with; null, or null for one: `initial`
  const float* dy;                                 // [N,H,V]
  float* const* d_states;                          // [H,state()] per sequence: of its last state, becomes that of its first; null: none
  float *dq, *dk, *dv;                             // [N,H,K] x2, [N,H,V]; null where there is none, as the rest
  float *d_rate, *d_momentum, *d_forget;           // [N,H]
  float* d_initial;                                // [sequences,H,P]: of B where it stays, and of M and S where there is no `first`
};

}  // namespace headrace
