// config.json's `attn` as flash-linear-attention reads it: one object, or a list of them that together name layers.
#include "models/fla_attention.h"

#include "base/error.h"
#include "models/rope.h"

namespace headrace {
namespace {

struct Specification {
  std::vector<int> layers;
  int num_heads;
  std::optional<int> num_kv_heads, window_size;
  bool qkv_bias = false;
  double rope_theta = 10000;
  void visit(auto& v) {
    v("layers", layers), v("num_heads", num_heads), v.optional("num_kv_heads", num_kv_heads), v.optional("window_size", window_size);
    v.optional("qkv_bias", qkv_bias), v.optional("rope_theta", rope_theta);
  }
};

}  // namespace

FlaAttention fla_attention(const Value& config, int num_layers, int width, const std::string& file) {
  FlaAttention all;
  const Value* attn = config.find("attn");
  if (!attn) return all;
  const std::string where = file + ": attn";
  expect(attn->get<Object>() || attn->get<Array>(), where, ": wanted an object or a list of them, found ", to_json(*attn).substr(0, 80));
  for (const Value& v : attn->get<Array>() ? *attn->get<Array>() : Array{*attn}) {
    const auto s = read_config<Specification>(v, where);
    check_size(where, "num_heads", s.num_heads, 65536);
    expect(width % s.num_heads == 0, where, ": num_heads = ", s.num_heads, " does not divide hidden_size = ", width);
    AttentionMixer::Options o{.width = width, .heads = s.num_heads, .kv_heads = s.num_kv_heads.value_or(s.num_heads),
                              .head_dim = width / s.num_heads, .qkv_bias = s.qkv_bias};
    AttentionMixer::check(where, o.heads, o.kv_heads, o.head_dim);
    if (s.window_size) check_size(where, "window_size", *s.window_size, int64_t{1} << 30), o.attend.window = *s.window_size;
    o.rope = read_rope(Object{{"rope_theta", s.rope_theta}}, o.head_dim, where);
    for (int l : s.layers) {
      expect(l >= 0 && l < num_layers, where, ": layer ", l, " of ", num_layers);
      expect(all.layers.emplace(l, o).second, where, ": layer ", l, " is there twice");
    }
    const Value* longest = config.find("max_position_embeddings");
    if (int n = 0; !s.window_size && !s.layers.empty() && longest && read_value(*longest, n)) all.context = std::max(n, 0);
  }
  return all;
}

}  // namespace headrace
