// Token shift with learned mixing, the first step of every RWKV layer: y_m = x + (before - x) mu_m, where `before` is the
// token before (zero at the start). RWKV-4 and 5 store the share of the current token, 1 - mu; RWKV-6 and 7 store mu.
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct TokenMix {
  Tensor mu;                             // [M,D]
  bool of_current = false;               // mu is the share of x, not of the token before

  struct Row { const char* name; Init init; };
  static TokenMix bind(const Scope& s, std::initializer_list<Row> rows, int width, bool of_current = false);
  Tensor operator()(const Tensor& x, const Slot& slot) const;   // x [N,D] -> [M,N,D]
};

// How RWKV's vectors begin, by the layer's depth and the channel: x = i / D, deep = l / (L - 1), shallow = 1 - l / L.
struct RwkvDepth {
  int layer = 0, layers = 1, width = 1;
  double deep() const { return layers > 1 ? static_cast<double>(layer) / (layers - 1) : 0; }
  double shallow() const { return 1 - static_cast<double>(layer) / layers; }
  Init power(double exponent, double plus = 0) const;      // x^exponent + plus: RWKV-4 and 5's share of the current token
  Init rest(double exponent, double plus = 0) const;       // 1 - that: RWKV-6 and 7's share of the token before
  Init decay(double first, double range, int64_t channels) const;   // first + range (i / (C-1))^(0.7 + 1.3 deep)
  Init bonus(int64_t channels) const;                      // RWKV-5 and 6's u
  Norm head_norm(const Scope& s, int64_t channels, float eps, int heads) const;   // ln_x: smaller in the first layers
};

}  // namespace headrace
