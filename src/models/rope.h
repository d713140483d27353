// Rotary frequencies from a configuration, in both spellings: rope_parameters (transformers 5) and rope_theta with
// rope_scaling before it. Scalings: default, linear, llama3, yarn (Peng et al. 2023, 2309.00071), longrope, and
// "factors", a divisor for each frequency as GGUF's rope_freqs.weight has them.
#pragma once
#include <string>

#include "nn/config.h"
#include "ops/ops.h"

namespace headrace {

// `kind`: the layer kind whose entry of rope_parameters is meant ("full_attention", ...), or null for the flat form.
// `default_fraction`: the part of the head that turns when the configuration does not say.
Rope read_rope(const Value& config, int head_dim, const std::string& file, const char* kind = nullptr, float default_fraction = 1,
               double default_theta = 10000);
// Gemma 3's layers with a window have a base of their own and no scaling: an entry of rope_parameters, or rope_local_base_freq.
Rope read_local_rope(const Value& config, int head_dim, const std::string& file);

}  // namespace headrace
