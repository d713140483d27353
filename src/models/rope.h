// Rotary frequencies from a configuration, in both spellings: rope_parameters (transformers 5) and rope_theta with
// rope_scaling before it. Scalings: default, linear, llama3, yarn (Peng et al. 2023, 2309.00071), longrope (Ding et al. 2024, 2402.13753),
// and "factors", a divisor for each frequency as GGUF's rope_freqs.weight has them.
//
// longrope has two lists of divisors: short_factor up to the original context, long_factor beyond it. transformers chooses anew for each
// call by the length so far, which keys in a cache that were turned by the other list cannot follow, and chunks would not be the whole.
// Here a model has one list for as long as it is open: the short one, and a context of the original length, unless a longer context is
// asked for when it is opened (LoadOptions::context); `logits` and `run --tokens` know their length and ask for it.
#pragma once
#include <string>

#include "nn/config.h"
#include "ops/ops.h"

namespace headrace {

// The configuration for sequences of `tokens`: our key long_context is set where longrope has a list for so many. 0: not known.
Value for_context(Value config, int64_t tokens, const std::string& file);
// The longest sequence that the frequencies were made for: `longest` (max_position_embeddings), but of longrope's short list the original.
int rope_context(const Value& config, int longest, const std::string& file);

// `kind`: the layer kind whose entry of rope_parameters is meant ("full_attention", ...), or null for the flat form.
// `default_fraction`: the part of the head that turns when the configuration does not say.
Rope read_rope(const Value& config, int head_dim, const std::string& file, const char* kind = nullptr, float default_fraction = 1,
               double default_theta = 10000);
// Gemma 3's layers with a window have a base of their own and no scaling: an entry of rope_parameters, or rope_local_base_freq.
Rope read_local_rope(const Value& config, int head_dim, const std::string& file);

}  // namespace headrace
