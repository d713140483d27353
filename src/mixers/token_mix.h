// Token shift with learned mixing, the first step of every RWKV layer: y_m = x + (before - x) mu_m, where `before` is the
// token before (zero at the start). RWKV-4 and 5 store the share of the current token, 1 - mu; RWKV-6 and 7 store mu.
#pragma once
#include "nn/layer.h"

namespace headrace {

struct TokenMix {
  Tensor mu;                             // [M,D]
  bool of_current = false;               // mu is the share of x, not of the token before

  static TokenMix bind(const Scope& s, std::initializer_list<const char*> names, int width, bool of_current = false);
  Tensor operator()(const Tensor& x, const Slot& slot) const;   // x [N,D] -> [M,N,D]
};

}  // namespace headrace
