// What Mamba and Mamba-2 have around their mixers: an embedding, x += mixer(norm(x)) for each layer, a last norm, a head.
#pragma once
#include <string>

#include "models/model.h"

namespace headrace {

// `c`: a configuration with vocab_size, hidden_size, num_hidden_layers, layer_norm_epsilon, tie_word_embeddings.
template <class Mixer, class Config>
Model mamba_backbone(const Config& c, const Scope& root, const typename Mixer::Options& o) {
  Scope s = root / "backbone";
  const int D = c.hidden_size;
  Model m;
  Decoder& d = m.decoder;
  d.vocab = c.vocab_size, d.width = D;
  d.embed = s.matrix("embeddings.weight", {c.vocab_size, D});
  for (int l = 0; l < c.num_hidden_layers; ++l) {
    Scope b = s / "layers" / l;
    d.layers.push_back(residual(blueprint_text<Mixer>(o), Norm::rms(b / "norm", D, c.layer_norm_epsilon), sublayer(Mixer::bind(b / "mixer", o))));
  }
  d.norm = Norm::rms(s / "norm_f", D, c.layer_norm_epsilon);
  d.head.weight = tied_head(root, "lm_head.weight", c.tie_word_embeddings, d.embed);
  return m;
}

}  // namespace headrace
