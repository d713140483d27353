// What a GGUF file would be read back as, known before it is written: a model on the meta device of the metadata, names and
// shapes, beside the model that it came from. A key of config.json that changes the mathematics and has no form in GGUF shows here.
#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "io/gguf_dialect.h"
#include "io/gguf_export.h"
#include "models/blueprint.h"
#include "models/rope.h"

namespace headrace {
namespace {

Model as_read(const GgufExport& e) {
  TensorFile tensors(e.metadata.path());
  for (const TensorSource& t : e.tensors)                          // factors of rotary positions are part of the configuration
    tensors.add(t.name, t.name.starts_with("rope_") ? t.make() : Tensor::empty(t.shape, t.dtype, Device::meta));
  const auto gguf = std::make_shared<const GgufModel>(GgufFile(e.metadata, std::move(tensors)), true);
  auto source = std::make_shared<Source>();
  source->file = e.metadata.path(), source->device = Device::meta, source->pack = false;
  source->find = [gguf](const std::string& name) { return gguf->find(name); };
  source->names = [gguf] { return gguf->names(); };
  return build_model(gguf->config(), source, source->file);
}

// "attn(heads=8, rope=10000)" -> attn, heads=8, rope=10000. Left out: GGUF's llama has rows of q and k in another order, so its pairs
// lie otherwise, the same mathematics; flash-linear-attention bounds RWKV-7's norms of keys in another way, by 1e-6 of their squares.
std::vector<std::string> words(const std::string& blueprint) {
  std::vector<std::string> all(1);
  for (char c : blueprint)
    if (c == ' ' || c == ',' || c == '(' || c == ')') all.emplace_back();
    else all.back() += c;
  std::erase_if(all, [](const std::string& w) {
    return w.empty() || w == "interleaved=on" || w.starts_with("key_eps=") || w.starts_with("key_clamp=");
  });
  return all;
}
bool same_number(double a, double b) { return a == b || std::abs(a - b) <= 1e-6 * std::abs(a); }   // GGUF's are f32
bool same_word(const std::string& a, const std::string& b) {
  const size_t is = a.find('=');
  if (a == b || is == a.npos || b.compare(0, is + 1, a, 0, is + 1) != 0) return a == b;
  char *a_end, *b_end;
  const double x = std::strtod(a.c_str() + is + 1, &a_end), y = std::strtod(b.c_str() + is + 1, &b_end);
  return *a_end == 0 && *b_end == 0 && same_number(x, y);
}
bool same_text(const std::string& a, const std::string& b) {
  const auto x = words(a), y = words(b);
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), same_word);
}

// What the text of a model lacks: the frequencies of its rotary positions, whatever scaled them.
bool same_rope(const Rope& a, const Rope& b) {
  return a.rotary == b.rotary && same_number(a.factor, b.factor) &&
         std::equal(a.inverse_frequency.begin(), a.inverse_frequency.end(), b.inverse_frequency.begin(), b.inverse_frequency.end(),
                    [](float x, float y) { return std::abs(x - y) <= 1e-5f * std::abs(x); });
}

}  // namespace

void read_back(const GgufExport& e, const Model& source, const std::string& file) {
  const std::string& architecture = e.metadata.string("general.architecture");
  if (architecture == "headrace") return;                          // config.json and names as they are
  const std::string where = text(file, ": GGUF's ", architecture);
  Model read;
  try {
    read = as_read(e);
  } catch (const Error& error) {
    fail(where, " has no form for this model: ", error.what());
  }
  const std::string a = blueprint(source), b = blueprint(read);
  const auto &layers = source.decoder.layers, &others = read.decoder.layers;
  if (!same_text(a, b)) {
    for (size_t l = 0; l < std::min(layers.size(), others.size()); ++l)
      expect(same_text(layers[l].text, others[l].text), where, " cannot say layer ", l, ", ", layers[l].text, ": it would be read back as ",
             others[l].text);
    fail(where, " cannot say ", a.substr(0, 300), ": it would be read back as ", b.substr(0, 300));
  }
  int head_dim = 0;
  const Value* stored = read.config.find("head_dim");
  if (!read.config.find("num_attention_heads") || !stored || !read_value(*stored, head_dim)) return;
  const bool third = architecture == "gemma3";
  const char* wide = third ? "full_attention" : nullptr;
  const double theta = third ? 1e6 : 10000;
  expect(same_rope(read_rope(source.config, head_dim, file, wide, 1, theta), read_rope(read.config, head_dim, file, wide, 1, theta)) &&
             (!third || same_rope(read_local_rope(source.config, head_dim, file), read_local_rope(read.config, head_dim, file))),
         where, " cannot say how rope_parameters or rope_scaling turn the heads: other frequencies would be read back");
}

}  // namespace headrace
