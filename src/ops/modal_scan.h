// The recurrent form of long_conv with modes. The state alone costs two thirds of the whole scan, so transforms beside it would save nothing:
// whole sequences run it too.
#pragma once
#include "ops/sequence.h"

namespace headrace {

Tensor modal_scan(const Tensor& u, const Modes& modes, const Slot& slot);   // u [N,C]
// The residues of coupled modes, where residue (1 - A^length) is known: A the matrix of all their states, conjugates too. [2M,C]
Tensor untruncated(const Modes& system, const Tensor& truncated, int64_t length);

}  // namespace headrace
