// RWKV 4 to 7: x += time_mix(ln1(x)); x += channel_mix(ln2(x)), with one more norm on the embedding.
// Peng et al.: RWKV-4 2305.13048, RWKV-5 "Eagle" and 6 "Finch" 2404.05892, RWKV-7 "Goose" 2503.14456.
// Official checkpoints come without a configuration: the version follows from the names, the sizes from the shapes.
#include "base/error.h"
#include "mixers/rwkv7.h"
#include "mixers/rwkv_channel_mix.h"
#include "models/families.h"

namespace headrace {
namespace {

// A dimension of a tensor that sizes depend on, so it is needed before the list of all that is missing can be made.
int size_of(const Scope& s, const std::string& name, int i, const std::string& file) {
  expect(s.has(name), file, ": ", s.path(), s.path().empty() ? "" : ".", name, " is missing");
  int64_t n = s.dim(name, i);
  expect(n > 0 && n < (1 << 24), file, ": ", s.path(), ".", name, " has a dimension of ", n);
  return static_cast<int>(n);
}

}  // namespace

Model rwkv(const Value& config, const Scope& root, const std::string& file) {
  Model m;
  Decoder& d = m.decoder;
  d.vocab = size_of(root, "emb.weight", 0, file), d.width = size_of(root, "emb.weight", 1, file);
  d.embed = root.matrix("emb.weight", {d.vocab, d.width});
  d.embed_norm = Norm::layer(root / "blocks" / 0 / "ln0", d.width, 1e-5f);
  for (int l = 0; (root / "blocks" / l).has("ln1.weight"); ++l) {
    Scope b = root / "blocks" / l, att = b / "att", ffn = b / "ffn";
    const int D = d.width, inner = size_of(att, "receptance.weight", 0, file), hidden = size_of(ffn, "key.weight", 0, file);
    Rwkv7::Options o{.width = D, .inner = inner, .heads = size_of(att, "r_k", 0, file)};
    expect(inner % o.heads == 0, file, ": ", att.path(), ".r_k: ", o.heads, " heads for a width of ", inner);
    Layer time = residual(Rwkv7::text(o), Norm::layer(b / "ln1", D, 1e-5f), sublayer(Rwkv7::bind(att, o)));
    RwkvChannelMix mix = RwkvChannelMix::bind(ffn, {.width = D, .hidden = hidden, .kind = RwkvChannelMix::Kind::plain});
    d.layers.push_back(std::move(time) + residual("channel_mix", Norm::layer(b / "ln2", D, 1e-5f), sublayer(std::move(mix))));
  }
  expect(!d.layers.empty(), file, ": no blocks.0.ln1.weight");
  d.norm = Norm::layer(root / "ln_out", d.width, 1e-5f);
  d.head.weight = root.matrix("head.weight", {d.vocab, d.width});
  return m;
}

}  // namespace headrace
