// A stack of layers between an embedding and a vocabulary: what every language model of the survey is.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "nn/layer.h"

namespace headrace {

struct Decoder {
  int vocab = 0, width = 0;
  Tensor embed;                          // [vocab, width]
  float embed_scale = 1;                 // Gemma: sqrt(width)
  Tensor positions;                      // [context, width] learned positions (GPT-2), or empty
  bool sinusoidal = false;               // sines and cosines of the position are added (Vaswani et al. 2017, 1706.03762, 3.5)
  Tensor meta;                           // [P, width]: tokens of the model's own before every sequence (Hymba), or empty
  Norm embed_norm;                       // RWKV's ln0; empty weight: none
  std::vector<Layer> layers;
  Norm norm;
  Linear head;                           // its weight is `embed` where tied
  float logit_cap = 0;                   // cap tanh(logit / cap); 0: none
  State initial;                         // what sequences begin with, where that was trained; no layers: nothing
  std::string sees_later;                // a layer that sees later tokens, by name: sequences are whole then, without state; empty: none

  int64_t meta_tokens() const { return meta ? meta.dim(0) : 0; }
  Tensor hidden(std::span<const int32_t> ids, Batch& batch) const;   // [N, width], after the last norm
  Tensor logits(const Tensor& hidden) const;                         // [rows, vocab]
  std::string layers_text() const;       // "12*(attn + swiglu)"

 private:
  Tensor through_layers(Tensor x, Batch& batch) const;
  Tensor after_meta(const Tensor& x, Batch& batch) const;
};

// The matrix before the logits: the embedding where they are tied, else the file's own, which must be there.
Tensor tied_head(const Scope& s, const std::string& name, bool tied, const Tensor& embed);

}  // namespace headrace
