// The inputs of an operator against the shapes that its entry spells out, before anything is computed.
#pragma once
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace headrace {

using Sizes = std::map<std::string, int64_t>;   // "B" -> 2

// inputs: "q [B,T,H,K]; ...; (h0 [B,H,K,V])", optional ones in parentheses. A size is a number, a letter or word that means the
// same wherever it stands, one of them less one (taps-1), a part (C/H), n times another (nT) or a number of times one (4C). Returns all
// sizes, `known` included.
// Throws Error for missing, unknown and misshapen inputs, and for a size of 0: files choose them, and nothing is computed of nothing.
Sizes check_inputs(const std::string& op, const char* inputs, const std::map<std::string, Tensor>& in, Sizes known = {});

}  // namespace headrace
