// Blueprints (DESIGN.md section 6): one line of text that describes a stack of layers.
//
//   d=512 vocab=8192  12*(attn(heads=8) + swiglu)
//
//   blueprint := { key=value } list              keys: Header, below
//   list      := item { , item }                 layers, one after the other
//   item      := COUNT * ( list ) | COUNT * one | sum
//   sum       := group { + group }               sublayers in sequence, each with its own norm and residual
//   group     := one { | one }                   mixers side by side on one input, fused
//   one       := NAME [ ( option=value {, option=value} ) ]      NAME and options: mixers/catalogue.h
//              | ( list ) [ ( fuse=mean|gate|sum ) ]             parentheses; fuse where they hold a group with |
//
// fuse: mean of the outputs, each RMS-normalised (Hymba, Dong et al. 2024, 2411.13676); gate: sigmoid of the first, normalised, times
// the second, normalised (Titans-MAG, Behrouz et al. 2025, 2501.00663); sum.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"
#include "nn/options.h"

namespace headrace {

struct Node {
  enum class Kind { mixer, group, sum, list, repeat };
  Kind kind = Kind::list;
  size_t at = 0;                         // its first character in the text
  std::string name;                      // of a mixer
  std::vector<Setting> settings;         // of a mixer or a group
  int64_t count = 1;                     // of a repeat
  std::vector<Node> parts;
};

struct Header {
  static constexpr Range widths{1, 1 << 20};
  int width = 512, vocab = 8192;
  std::string norm;
  float eps, offset, scale, cap, carry;
  bool post, tied, embed_norm;
  int positions, meta;
  bool sinusoidal;
  void visit(auto& v) {
    v("d", width, 512, "width", widths);
    v("vocab", vocab, 8192, "tokens in the vocabulary");
    rest(v);
  }
  void rest(auto& v) {
    v("norm", norm, "rms", "before each sublayer and at the end; simple_rms: without weights (TransNormerLLM)", Choice{"rms", "layer", "simple_rms"});
    v("eps", eps, 1e-5f, "of the norms", eps_range);
    v("offset", offset, 0, "added to the norms' weights (Gemma: 1)", Range{0, 1});
    v("post", post, false, "norms after each sublayer too");
    v("carry", carry, 0, "a sublayer is added to its normalised input times this (MiniMax); 0: to its input", Range{0, 1e6});
    v("tied", tied, true, "the matrix before the logits is the embedding");
    v("scale", scale, 1, "of the embedding (Gemma: the square root of d)", Range{0, 1e6});
    v("cap", cap, 0, "logits become cap tanh(logit / cap); 0: none", Range{0, 1e6});
    v("embed_norm", embed_norm, false, "a norm after the embedding (RWKV)");
    v("positions", positions, 0, "learned positions (GPT-2): the longest sequence; 0: none", Range{0, 1 << 24});
    v("sinusoidal", sinusoidal, false, "sines and cosines of the position are added to the embedding (Transformer)");
    v("meta", meta, 0, "trained tokens before every sequence (Hymba), which windows of attention keep in sight", Range{0, 1 << 16});
  }
};

struct Blueprint {
  Header header;
  Node stack;                            // a list
};

// what() is one line that names the character, counted from 1; pointed() is the line of the text with a caret below it.
struct BlueprintError : Error {
  size_t at;                             // from 0
  std::string text;
  BlueprintError(std::string_view blueprint, size_t place, const std::string& message);
  std::string pointed() const;
};

constexpr int most_layers = 10'000, most_sublayers = 100'000, most_depth = 100;

// Checks names, options and sizes; throws BlueprintError.
Blueprint parse_blueprint(std::string_view text);
std::string print(const Blueprint& b);   // options that differ from their defaults; parses to the same
// The layers as a model. Parameters: embed.weight, layers.L.S.norm.weight, layers.L.S.MIXER.*, norm.weight, head.weight. Binding
// again with a source that made parameters before gives a model of the same tensors.
Model build_blueprint(const Blueprint& b, const std::shared_ptr<Source>& source);

// Each mixer as it is bound, layer after layer, with the path of its parameters: "layers.3.0.hyena".
struct BoundMixer { std::string path; const Node* node; };
std::vector<BoundMixer> bound_mixers(const Blueprint& b);

std::string blueprint(const Model& m);   // of any model, in the same language; of one that was built from a blueprint, that

}  // namespace headrace
