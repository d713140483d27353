// RWKV 4 to 7: x += time_mix(ln1(x)); x += channel_mix(ln2(x)), with one more norm (ln0) on the embedding.
// Peng et al.: RWKV-4 2305.13048, RWKV-5 "Eagle" and 6 "Finch" 2404.05892, RWKV-7 "Goose" 2503.14456.
// Official checkpoints come without a configuration: the version follows from the names, the sizes from the shapes.
#include "base/error.h"
#include "mixers/rwkv4.h"
#include "mixers/rwkv5.h"
#include "mixers/rwkv6.h"
#include "mixers/rwkv7.h"
#include "mixers/rwkv_channel_mix.h"
#include "models/families.h"
#include "models/fla_attention.h"
#include "models/rwkv_names.h"

namespace headrace {
namespace {

struct RwkvConfig {
  std::optional<float> norm_eps, layer_norm_epsilon;   // flash-linear-attention's, transformers'
  float head_size_divisor = 8;                         // the heads' output was divided by it before the group norm
  bool tie_word_embeddings = false, fuse_norm = true;
  void visit(auto& v) {
    v.optional("norm_eps", norm_eps), v.optional("layer_norm_epsilon", layer_norm_epsilon), v.optional("tie_word_embeddings", tie_word_embeddings);
    v.optional("fuse_norm", fuse_norm), v.optional("head_size_divisor", head_size_divisor);
  }
};

// A dimension that other sizes follow from, so it is needed before the list of all that is missing can be made.
int size_of(const Scope& s, const std::string& name, int i, const std::string& file) {
  const std::string path = s.path().empty() ? name : s.path() + "." + name;
  expect(s.has(name), file, ": tensor ", path, " is missing");
  int64_t n = s.dim(name, i);
  expect(n > 0 && n < (1 << 24), file, ": tensor ", path, " has a dimension of ", n);
  return static_cast<int>(n);
}
int heads_of(const Scope& att, const char* name, int inner, const std::string& file) {
  int heads = size_of(att, name, 0, file);
  expect(inner % heads == 0, file, ": tensor ", att.path(), ".", name, ": ", heads, " heads for a width of ", inner);
  return heads;
}
Norm layer_norm_of(const Scope& s, int width, float eps) {   // flash-linear-attention may leave out biases
  return {.kind = NormKind::layer, .weight = s("weight", {width}), .bias = s.maybe("bias", {width}), .eps = eps};
}

struct Mixer { std::string text; Sublayer run; };
template <class M>
Mixer mixer(const Scope& att, typename M::Options o) { return {blueprint_text<M>(o), sublayer(M::bind(att, o))}; }

Mixer time_mix(int version, int layer, const Scope& att, int width, const RwkvConfig& c, RwkvWriter writer, const std::string& file) {
  const int inner = size_of(att, "receptance.weight", 0, file);
  auto rank = [&](const char* name, int i) { return static_cast<int>(att.dim(name, i)); };
  const bool fla = writer == RwkvWriter::fla;
  const float eps = fla ? c.norm_eps.value_or(1e-5f) : 1e-5f * c.head_size_divisor * c.head_size_divisor;
  if (version == 4) return mixer<Rwkv4>(att, {.width = width, .inner = inner});
  if (version == 5) {
    const int heads = heads_of(att, "time_decay", inner, file);
    return mixer<Rwkv5>(att, {.width = width, .inner = inner, .heads = heads, .gate = att.has("gate.weight"),
                              .by_channel = att.source().find(att.path() + ".time_decay").count() > heads,
                              .log_bonus = att.has("time_first"), .norm_eps = eps});
  }
  if (version == 6)
    return mixer<Rwkv6>(att, {.width = width, .heads = heads_of(att, "time_faaaa", inner, file), .keys = inner,
                              .values = size_of(att, "value.weight", 0, file), .mix_rank = rank("time_maa_w2", 1),
                              .decay_rank = rank("time_decay_w1", -1), .norm_eps = eps});
  Rwkv7::Options o{.width = width, .inner = inner, .heads = heads_of(att, "r_k", inner, file), .first = layer == 0, .norm_eps = eps,
                   .decay_rank = rank("w1", -1), .rate_rank = rank("a1", -1), .gate_rank = rank("g1", -1)};
  const Scope values = layer == 0 ? att.root() / "blocks" / 1 / "att" : att;   // the first layer has none
  o.value_rank = values.has("v1") ? static_cast<int>(values.dim("v1", -1)) : o.usual_rank(1.7);
  if (fla) {                                                 // its group norm's epsilon goes with the head size, its keys' is in the root
    o.norm_eps = eps * static_cast<float>(inner / o.heads);
    if (c.fuse_norm) o.key_eps = 1e-6f, o.key_clamp = false;
  }
  return mixer<Rwkv7>(att, o);
}

// flash-linear-attention's, under the official names that its own became.
Mixer softmax_attention(const Scope& att, const AttentionMixer::Options& o) {
  const int keys = o.kv_heads * o.head_dim;
  return {blueprint_text<AttentionMixer>(o), sublayer(AttentionMixer{.o = o, .q = Linear::bind(att / "q_proj", o.width, o.width, o.qkv_bias),
                                                                     .k = Linear::bind(att / "key", o.width, keys, o.qkv_bias),
                                                                     .v = Linear::bind(att / "value", o.width, keys, o.qkv_bias),
                                                                     .out = Linear::bind(att / "output", o.width, o.width)})};
}

}  // namespace

Model rwkv(const Value& config, const Scope& root, const std::string& file) {
  auto c = read_config<RwkvConfig>(config, file);
  const RwkvWriter writer = use_official_names(root.source(), config, file);
  const float eps = c.norm_eps ? *c.norm_eps : c.layer_norm_epsilon.value_or(1e-5f);
  const Scope blocks = root / "blocks";
  expect(root.has("emb.weight"), file, ": tensor emb.weight is missing; without a config.json a model must be RWKV by its official names");
  int layers = 0;
  while ((blocks / layers).has("ln1.weight")) ++layers;
  const FlaAttention softmax = fla_attention(config, layers, size_of(root, "emb.weight", 1, file), file);
  int mixed = 0;                                       // the first layer that is RWKV
  while (softmax.layers.contains(mixed)) ++mixed;
  const Scope first = blocks / mixed / "att";
  const int version = first.has("r_k") ? 7 : first.has("time_maa_x") ? 6 : first.has("ln_x.weight") ? 5 : 4;
  Model m;
  m.family = text("rwkv", version);
  Decoder& d = m.decoder;
  const int D = d.width = size_of(root, "emb.weight", 1, file);
  d.vocab = size_of(root, "emb.weight", 0, file);
  d.embed = root.matrix("emb.weight", {d.vocab, D});
  if (writer != RwkvWriter::fla || (blocks / 0).has("ln0.weight")) d.embed_norm = layer_norm_of(blocks / 0 / "ln0", D, eps);
  expect(version != 7 || softmax.layers.empty(), file, ": attn: layers of softmax attention among those of RWKV-7 are not supported");
  m.context = softmax.context;
  for (int l = 0; l < layers; ++l) {
    const Scope b = blocks / l, ffn = b / "ffn";
    const auto attends = softmax.layers.find(l);
    Mixer time = attends != softmax.layers.end() ? softmax_attention(b / "att", attends->second)
                                                 : time_mix(version, l, b / "att", D, c, writer, file);
    const RwkvChannelMix::Options channel{.width = D, .version = version, .hidden = size_of(ffn, "key.weight", 0, file)};
    d.layers.push_back(residual(std::move(time.text), layer_norm_of(b / "ln1", D, eps), std::move(time.run)) +
                       residual(blueprint_text<RwkvChannelMix>(channel),
                                layer_norm_of(b / "ln2", D, eps), sublayer(RwkvChannelMix::bind(ffn, channel))));
  }
  expect(!d.layers.empty(), file, ": tensor blocks.0.ln1.weight is missing");
  for (const char* unread : {"v0", "v1", "v2"}) root.source().used.insert(text("blocks.0.att.", unread));   // some writers leave one there
  d.norm = layer_norm_of(root / "ln_out", D, eps);
  d.head.weight = tied_head(root, "head.weight", c.tie_word_embeddings, d.embed);
  return m;
}

}  // namespace headrace
