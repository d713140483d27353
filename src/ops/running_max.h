// Sums of e^x over time that stay in range: kept times e^-m, m the running maximum.
#pragma once
#include "ops/slot.h"

namespace headrace {

// m_t = max(m_(t-1), x_t) by channel, and by how much it rose: fell_t = m_(t-1) - m_t, 0 at a sequence's first token. What is kept times
// e^-m has the log decay `fell`. x [N,C]; state [C]. Gradients flow to the token of this call that is the largest.
struct RunningMax { Tensor m, fell; };
RunningMax running_max(const Tensor& x, std::span<const int32_t> positions, const Slot& slot);

}  // namespace headrace
