// A matrix that is derived from parameters as the source's device keeps matrices: where it is packed, each row of a product is summed
// as if it were alone, whatever else is in the batch. Rows of f32 where the source does not pack (training).
#pragma once
#include "nn/scope.h"

namespace headrace {

Tensor arranged(const Source& source, const Tensor& rows);

}  // namespace headrace
