// Attention to the most surprising tokens of all (B'MOJO's eidetic memory, Zancato et al. 2024, 2407.06324): a primitive beside those of
// ops/sequence.h. Tokens are cut into chunks of `window`, counted from the sequence's start; a query of chunk c sees, of the tokens before
// the chunk, the `count` of highest score (of equals the older) that its window has left behind.
#pragma once
#include "ops/sequence.h"

namespace headrace {

struct Eidetic { int64_t count, window; };
// q [N,H,K], k [N,Hkv,K], v [N,Hkv,V] (positions are in them), scores [N], a constant. Where nothing is seen y is 0 and lse very small.
// State [2 count, 2 + Hkv (K + V)]: what the open chunk's queries see, and the best so far; a row is score, position + 1 (0: none), k, v.
Attended eidetic_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& scores, const Eidetic& options,
                           std::span<const int32_t> positions, const Slot& slot);

}  // namespace headrace
