// Attention-free weights (Zhai et al. 2021, 2105.14103): by channel,
//
//   y_t = sum_s e^(k_s + w_ts) v_s / sum_s e^(k_s + w_ts)       over s <= t, or over all of the sequence where it is not causal
//
// k, v [N,C] -> [N,C]. Gradients flow to the keys and values of this call; of a window's, what a state held before is constant.
#pragma once
#include "ops/slot.h"

namespace headrace {

// w [T_max,T_max], row t, column s. Two products of T x T by T x C; where e^k and e^w would leave the range of f32, row by row.
// State: all keys and values, in pages [2C,64].
Tensor aft_full(const Tensor& k, const Tensor& v, const Tensor& w, bool causal, const Slot& slot);

// w_ts = 0 for t - s >= window: earlier tokens still count, with e^k_s. Causal. w [T_max,T_max] as above, or by channel and distance
// [C,window], column t - s. States: keys and values in the window [2,window C]; of older ones the running maximum [C], and sums [2C].
struct AftNear {
  const Tensor &k, &v, &w;
  int64_t window;
};
Tensor aft_near(const AftNear& args, std::span<const int32_t> positions, const Slot& near, const Slot& most, const Slot& sums);

// w = 0, not causal.
Tensor aft_simple_whole(const Tensor& k, const Tensor& v, const Slot& slot);

}  // namespace headrace
