// Segments of a fixed length, one after the other: for layers in which a segment needs what the one before left in the state
// (Titans' memory as context).
#pragma once
#include <functional>

#include "nn/state.h"

namespace headrace {

// f on the first segment of every sequence of the batch at once, then on the second, and so on; segments begin at positions that
// `length` divides. x [N,...]. Slots carry over from one to the next, also where the batch keeps no states.
Tensor by_segments(const Tensor& x, Pass p, int64_t length, const std::function<Tensor(const Tensor& x, Pass p)>& f);

}  // namespace headrace
