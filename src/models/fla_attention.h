// The layers of softmax attention that flash-linear-attention puts among those of its models: config.json's `attn`, one
// specification or a list of them, each with the numbers of its layers.
#pragma once
#include <map>
#include <string>

#include "mixers/attention.h"
#include "nn/config.h"

namespace headrace {

struct FlaAttention {
  std::map<int, AttentionMixer::Options> layers;   // by number
  int context = 0;                                 // the longest sequence it was made for; 0: any, where all have a window
};
FlaAttention fla_attention(const Value& config, int num_layers, int width, const std::string& file);

}  // namespace headrace
