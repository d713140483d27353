// Writing: keys and values as llama.cpp's graphs want them, names by the reader's tables taken backwards (io/gguf_dialect.h).
// Values are made while the file is written, one tensor at a time, so a model is never in memory twice.
#include "io/gguf_export.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "base/error.h"
#include "io/bytes.h"
#include "io/gguf_dialect.h"
#include "models/layer_types.h"
#include "models/model.h"
#include "models/rope.h"
#include "models/rwkv_names.h"
#include "nn/config.h"
#include "tensor/blocks.h"

namespace headrace {
namespace {

// ---- values ----

TensorSource as_it_is(std::string name, const Tensor& t, const Shape& shape) {
  return {std::move(name), t.dtype(), shape, [t, shape] { return t.contiguous_or_copy().view(shape); }};
}
TensorSource changed(std::string name, const Tensor& t, const Shape& shape, float (*f)(float)) {
  return {std::move(name), DType::f32, shape, [t, shape, f] {
    Tensor y = dequantised(t);
    std::transform(y.f32(), y.f32() + y.count(), y.f32(), f);
    return y.view(shape);
  }};
}
// Rows of a head: halves rotate in config.json's model, neighbouring pairs in llama.cpp's.
TensorSource paired(std::string name, const Tensor& t, int64_t heads) {
  return {std::move(name), t.dtype(), t.shape(), [t, heads] {
    const Tensor from = t.contiguous_or_copy();
    Tensor to = Tensor::empty(t.shape(), t.dtype());
    const int64_t rows = t.dim(0), head = rows / heads;
    const size_t bytes = t.bytes() / static_cast<size_t>(rows);
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(to.data<std::byte>() + (r / head * head + r % head % (head / 2) * 2 + r % head / (head / 2)) * bytes, from.data<std::byte>()
          + r * bytes, bytes);
    return to;
  }};
}
// The last two dimensions exchanged.
TensorSource transposed(std::string name, const Tensor& t) {
  Shape s = t.shape();
  std::swap(s[-1], s[-2]);
  return {std::move(name), DType::f32, s, [t, s] {
    const Tensor x = dequantised(t);
    Tensor y = Tensor::empty(s);
    const int64_t rows = s[-2], cols = s[-1];
    for (int64_t i = 0; i < y.count(); ++i) y.f32()[i] = x.f32()[i / (rows * cols) * rows * cols + i % cols * rows + i / cols % rows];
    return y;
  }};
}

// ---- configuration ----

struct Config {
  const Value& root;
  const std::string& file;
  template <class T> T need(const char* key) const {
    T v{};
    const Value* found = root.find(key);
    expect(found && read_value(*found, v), file, ": ", key, found ? ": wanted another type" : " is missing");
    return v;
  }
  template <class T> T get(const char* key, T otherwise) const { return root.find(key) ? need<T>(key) : otherwise; }
  std::string type() const { return need<std::string>("model_type"); }
};

class Writer {
 public:
  Writer(std::string architecture, const std::string& name) : architecture_(std::move(architecture)), metadata(name) {
    metadata.add("general.architecture", architecture_);
    metadata.add("general.name", name);
  }
  const std::string& architecture() const { return architecture_; }
  void whole(const char* key, int64_t v) {
    expect(v >= 0 && v <= UINT32_MAX, metadata.path(), ": ", key, ": wanted 0 to ", UINT32_MAX, ", found ", v);
    metadata.add(architecture_ + "." + key, static_cast<uint32_t>(v));
  }
  void number(const char* key, double v) { metadata.add(architecture_ + "." + key, static_cast<float>(v)); }
  void flag(const char* key, bool v) { metadata.add(architecture_ + "." + key, v); }
  void string(const char* key, const char* v) { metadata.add(architecture_ + "." + key, v); }

 private:
  std::string architecture_;

 public:
  GgufMetadata metadata;
  std::vector<TensorSource> tensors;
};

// `kind`: the layer kind whose entry of rope_parameters is meant; `base`: the key of its rotary base.
void rotary(Writer& w, const Config& c, int head_dim, const char* kind = nullptr) {
  const Value* p = c.root.find("rope_parameters");
  if (p && kind && p->find(kind)) p = p->find(kind);
  const Config own{p ? *p : c.root, c.file};
  const double theta = own.get("rope_theta", 10000.0);
  const Rope rope = read_rope(c.root, head_dim, c.file, kind);
  w.number("rope.freq_base", theta);
  w.whole("rope.dimension_count", rope.rotary);
  const Value none{Object{}}, &scaling = p ? *p : c.root.find("rope_scaling") ? *c.root.find("rope_scaling") : none;
  const Config s{scaling, c.file};
  const std::string type = s.get("rope_type", s.get<std::string>("type", "default"));
  const double factor = s.get("factor", 1.0);
  auto small = [](const char* name, std::vector<float> v) {
    Tensor t = Tensor::from(v, {static_cast<int64_t>(v.size())});
    return as_it_is(name, t, t.shape());
  };
  if (type == "linear" || type == "yarn") {
    w.string("rope.scaling.type", type == "linear" ? "linear" : "yarn");
    w.number("rope.scaling.factor", factor);
  }
  if (type == "yarn" || type == "longrope")
    w.whole("rope.scaling.original_context_length",
        static_cast<int64_t>(s.get("original_max_position_embeddings",
            c.get("original_max_position_embeddings", c.need<double>("max_position_embeddings")))));
  if (type == "yarn") {
    if (rope.factor != static_cast<float>(1 + 0.1 * std::log(factor))) w.number("rope.scaling.attn_factor",
        rope.factor / (1 + 0.1 * std::log(factor)));
    if (scaling.find("beta_fast")) w.number("rope.scaling.yarn_beta_fast", s.need<double>("beta_fast"));
    if (scaling.find("beta_slow")) w.number("rope.scaling.yarn_beta_slow", s.need<double>("beta_slow"));
  } else if (type == "longrope") {
    w.number("rope.scaling.attn_factor", rope.factor);
    w.tensors.push_back(small("rope_factors_long.weight", s.need<std::vector<float>>("long_factor")));
    w.tensors.push_back(small("rope_factors_short.weight", s.need<std::vector<float>>("short_factor")));
  } else if (type == "llama3") {
    std::vector<float> divisors;
    for (size_t i = 0; i < rope.inverse_frequency.size(); ++i)
      divisors.push_back(static_cast<float>(std::pow(theta, -2.0 * static_cast<double>(i) / rope.rotary) / rope.inverse_frequency[i]));
    w.tensors.push_back(small("rope_freqs.weight", divisors));
  } else {
    expect(type == "default" || type == "linear", c.file, ": rope_type ", shown(type), " has no form in GGUF");
  }
}

void attention(Writer& w, const Config& c) {
  const int heads = c.need<int>("num_attention_heads"), width = c.need<int>("hidden_size");
  check_size(c.file, "num_attention_heads", heads, 65536), check_size(c.file, "hidden_size", width);
  const bool gemma = w.architecture().starts_with("gemma");
  const int head_dim = c.get("head_dim", gemma ? 256 : width / heads);
  w.whole("context_length", c.get("max_position_embeddings", int64_t{8192}));
  w.whole("embedding_length", width);
  w.whole("block_count", c.need<int64_t>("num_hidden_layers"));
  w.whole("feed_forward_length", c.need<int64_t>("intermediate_size"));
  w.whole("attention.head_count", heads);
  w.whole("attention.head_count_kv", c.get("num_key_value_heads", heads));
  w.whole("attention.key_length", head_dim);
  w.whole("attention.value_length", head_dim);
  w.number("attention.layer_norm_rms_epsilon", c.get("rms_norm_eps", 1e-6));
  w.whole("vocab_size", c.need<int64_t>("vocab_size"));
  rotary(w, c, head_dim, w.architecture() == "gemma3" ? "full_attention" : nullptr);
  const bool windowed = c.root.find("sliding_window") && (!w.architecture().starts_with("qwen") || c.get("use_sliding_window", false));
  expect(!windowed || !w.architecture().starts_with("qwen"), c.file, ": use_sliding_window: GGUF's ", w.architecture(), " has no window");
  if (windowed) w.whole("attention.sliding_window", c.need<int64_t>("sliding_window"));
  if (c.root.find("attn_logit_softcapping")) w.number("attn_logit_softcapping", c.need<double>("attn_logit_softcapping"));
  if (c.root.find("final_logit_softcapping")) w.number("final_logit_softcapping", c.need<double>("final_logit_softcapping"));
  if (c.root.find("query_pre_attn_scalar")) {
    const bool largest = c.need<int>("num_hidden_layers") == (w.architecture() == "gemma2" ? 46 : 62);
    const int scale = largest ? width / heads : head_dim;
    expect(c.need<double>("query_pre_attn_scalar") == scale, c.file, ": query_pre_attn_scalar: llama.cpp knows only ", scale, ", found ",
        c.need<double>("query_pre_attn_scalar"));
  }
  if (w.architecture() == "gemma3") {
    const Value* p = c.root.find("rope_parameters");
    const Value* own = p ? p->find("sliding_attention") : nullptr;
    w.number("rope.freq_base_swa", own ? Config{*own, c.file}.get("rope_theta", 10000.0) : c.get("rope_local_base_freq", 10000.0));
  }
  if (const int64_t period = w.architecture() == "gemma3" ? 6 : w.architecture() == "gemma2" ? 2 : 0; period) {
    const auto windowed = read_layer_types(c.root, c.need<int>("num_hidden_layers"), true, c.file);
    for (size_t l = 0; windowed && l < windowed->size(); ++l)
      expect((*windowed)[l] == ((l + 1) % period != 0), c.file, ": layer_types: llama.cpp knows only a full layer after each ",
          period - 1, " with a window");
  }
  if (w.architecture() == "smollm3" && c.root.find("no_rope_layers")) {
    const auto turned = c.need<std::vector<int>>("no_rope_layers");
    for (size_t l = 0; l < turned.size(); ++l)
      expect(turned[l] == ((l + 1) % 4 != 0), c.file, ": no_rope_layers: llama.cpp knows only every fourth layer without positions");
  }
}
void gpt2(Writer& w, const Config& c) {
  const int64_t width = c.need<int64_t>("n_embd");
  w.whole("context_length", c.need<int64_t>("n_positions"));
  w.whole("embedding_length", width);
  w.whole("block_count", c.need<int64_t>("n_layer"));
  w.whole("vocab_size", c.need<int64_t>("vocab_size"));
  w.whole("feed_forward_length", c.get("n_inner", 4 * width));
  w.whole("attention.head_count", c.need<int64_t>("n_head"));
  w.number("attention.layer_norm_epsilon", c.get("layer_norm_epsilon", 1e-5));
}
void mamba(Writer& w, const Config& c, const TensorFile& tensors) {
  const int64_t width = c.need<int64_t>("hidden_size");
  const bool second = w.architecture() == "mamba2";
  const int64_t inner = tensors.at("backbone.layers.0.mixer.out_proj.weight").dim(-1);
  w.whole("context_length", 1 << 20);
  w.whole("embedding_length", width);
  w.whole("block_count", c.need<int64_t>("num_hidden_layers"));
  w.whole("feed_forward_length", 0);
  w.whole("attention.head_count", 0);
  w.whole("vocab_size", c.need<int64_t>("vocab_size"));
  w.whole("ssm.conv_kernel", c.get("conv_kernel", int64_t{4}));
  w.whole("ssm.inner_size", inner);
  w.whole("ssm.state_size", c.get("state_size", int64_t{second ? 128 : 16}));
  w.number("attention.layer_norm_rms_epsilon", c.get("layer_norm_epsilon", 1e-5));
  if (second) {
    w.whole("ssm.time_step_rank", c.get("num_heads", int64_t{128}));
    w.whole("ssm.group_count", c.get("n_groups", int64_t{8}));
  } else {
    w.whole("ssm.time_step_rank", tensors.at("backbone.layers.0.mixer.dt_proj.weight").dim(-1));
    w.flag("ssm.dt_b_c_rms", c.type() == "falcon_mamba");
  }
}

// ---- names ----

// "model.layers.12.mlp.up_proj.weight" -> "model.layers.*.mlp.up_proj", "12", ".weight"
struct Parts { std::string stem, block, suffix; };
Parts parts_of(const std::string& name) {
  Parts p{name, "", ""};
  for (const char* suffix : {".weight", ".bias"})
    if (p.stem.ends_with(suffix)) p.suffix = suffix, p.stem.resize(p.stem.size() - p.suffix.size());
  for (size_t dot = p.stem.find('.'); dot != p.stem.npos; dot = p.stem.find('.', dot + 1)) {
    const size_t end = p.stem.find('.', dot + 1);
    const std::string piece = p.stem.substr(dot + 1, end == p.stem.npos ? end : end - dot - 1);
    if (piece.empty() || piece.find_first_not_of("0123456789") != piece.npos) continue;
    p.block = piece;
    p.stem.replace(dot + 1, piece.size(), "*");
    break;
  }
  return p;
}

const GgufArchitecture* architecture_named(const std::string& name) {
  for (auto list : {gguf_attention_architectures(), gguf_recurrent_architectures()})
    for (const GgufArchitecture& a : list)
      if (name == a.name) return &a;
  return nullptr;
}

void add_tensor(Writer& w, const Config& c, const std::string& stem, std::string name, const Tensor& t) {
  const std::string& arch = w.architecture();
  const bool matrix = name.ends_with(".weight");
  if ((arch == "llama" || arch == "smollm3") && (stem == "attn_q" || stem == "attn_k")) {
    const int64_t heads = c.need<int64_t>("num_attention_heads"), mine = stem == "attn_q" ? heads : c.get("num_key_value_heads", heads);
    expect(t.rank() > 0 && mine > 0 && t.dim(0) % (2 * mine) == 0, c.file, ": ", name, ": ", t.shape(), " for ", mine, " heads");
    return w.tensors.push_back(paired(std::move(name), t, mine));
  }
  if (arch.starts_with("gemma") && stem.find("norm") != stem.npos)
    return w.tensors.push_back(changed(std::move(name), t, t.shape(), [](float x) { return x + 1; }));
  if (arch == "gpt2" && matrix && (stem == "attn_qkv" || stem == "attn_output" || stem == "ffn_up" || stem == "ffn_down") && t.rank() == 2)
    return w.tensors.push_back(transposed(std::move(name), t));
  const Shape column = arch == "mamba2" ? Shape{t.count(), 1} : t.shape();
  if (stem == "ssm_a") return w.tensors.push_back(changed(std::move(name), t, column, [](float x) { return -std::exp(x); }));
  if (stem == "ssm_d") return w.tensors.push_back(as_it_is(std::move(name), t, column));
  if (stem == "ssm_conv1d" && matrix && t.rank() == 3) return w.tensors.push_back(as_it_is(std::move(name), t, {t.dim(0), t.dim(2)}));
  if (stem == "ssm_norm") {
    const int64_t groups = c.get("n_groups", int64_t{8});
    expect(groups > 0 && t.count() % groups == 0, c.file, ": ", name, ": ", t.shape(), " for ", groups, " groups");
    return w.tensors.push_back(as_it_is(std::move(name), t, {groups, t.count() / groups}));
  }
  w.tensors.push_back(as_it_is(std::move(name), t, t.shape()));
}

void by_table(Writer& w, const Config& c, const TensorFile& tensors, const GgufArchitecture& arch) {
  const bool tied = c.get("tie_word_embeddings", w.architecture() == "gpt2" || w.architecture() == "mamba" || w.architecture() == "smollm3" ||
                                                 w.architecture().starts_with("gemma"));
  std::vector<std::string> spare;
  for (const auto& [name, t] : tensors) {
    if ((tied && name == "lm_head.weight") || name.ends_with("rotary_emb.inv_freq")) continue;
    const Parts p = parts_of(name);
    const bool leaf = p.stem.ends_with(".dt_bias") || p.suffix.empty();
    const auto r = std::find_if(arch.renames.begin(), arch.renames.end(), [&](const GgufRename& r) { return p.stem + (leaf ? "!" : "") == r.to; });
    if (r == arch.renames.end()) {
      spare.push_back(name);
      continue;
    }
    const std::string suffix = p.stem.ends_with(".dt_bias") ? ".bias" : p.suffix;
    add_tensor(w, c, r->from, (p.block.empty() ? "" : "blk." + p.block + ".") + r->from + suffix, t);
  }
  if (!spare.empty()) fail(c.file, ": tensors without a name in GGUF's ", w.architecture(), ": ", shown(spare[0]), spare.size() > 1
      ? text(" and ", spare.size() - 1, " more") : "");
}

// ---- RWKV-6 and 7, from their official names ----

void rwkv(Writer& w, const Config& c, RwkvWriter writer, const std::function<Tensor(const std::string&)>& find) {
  const bool seventh = w.architecture() == "rwkv7";
  auto need = [&](const std::string& name) {
    const Tensor t = find(name);
    expect(static_cast<bool>(t), c.file, ": tensor ", shown(name), " is missing");
    return t;
  };
  if (writer == RwkvWriter::fla) {                 // the epsilon of the heads' norm is 64e-5 in llama.cpp
    const double eps = c.get("norm_eps", 1e-5) * (seventh ? static_cast<double>(need("blocks.0.att.r_k").dim(-1)) : 1);
    expect(std::abs(eps - 64e-5) < 1e-9, c.file, ": norm_eps: llama.cpp knows only 64e-5 for the heads' norm, found ", eps);
  }
  auto vector = [](std::string name, const Tensor& t) { return as_it_is(std::move(name), t, {t.count()}); };
  auto fused = [](std::string name, std::vector<Tensor> parts) -> TensorSource {
    const int64_t n = parts[0].count();
    return {std::move(name), DType::f32, {static_cast<int64_t>(parts.size()), 1, 1, n}, [parts, n] {
      Tensor y = Tensor::empty({static_cast<int64_t>(parts.size()), 1, 1, n});
      for (size_t i = 0; i < parts.size(); ++i) std::memcpy(y.f32() + static_cast<int64_t>(i) * n, dequantised(parts[i]).f32(),
          static_cast<size_t>(n) * 4);
      return y;
    }};
  };
  const Tensor embedding = need("emb.weight"), per_head = need(seventh ? "blocks.0.att.r_k" : "blocks.0.att.time_faaaa");
  auto all = [&](const std::string& from, const std::string& to) {
    for (const char* suffix : {".weight", ".bias"})
      if (Tensor t = find(from + suffix)) w.tensors.push_back(as_it_is(to + suffix, t, t.shape()));
  };
  all("emb", "token_embd"), all("blocks.0.ln0", "token_embd_norm"), all("ln_out", "output_norm"), all("head", "output");
  int64_t layers = 0;
  for (; find(text("blocks.", layers, ".ln1.weight")); ++layers) {
    const std::string b = text("blocks.", layers, "."), a = b + "att.", f = b + "ffn.", to = text("blk.", layers, ".");
    all(b + "ln1", to + "attn_norm"), all(b + "ln2", to + "attn_norm_2"), all(a + "ln_x", to + "time_mix_ln");
    for (const char* m : {"receptance", "key", "value", "output"}) all(a + m, to + "time_mix_" + m);
    for (const char* m : {"key", "value"}) all(f + m, to + "channel_mix_" + m);
    std::vector<Tensor> shifts;
    for (const char* letter : seventh ? std::vector<const char*>{"r", "w", "k", "v", "a", "g"} : std::vector<const char*>{"w", "k", "v", "r", "g"})
      shifts.push_back(need(a + (seventh ? "x_" : "time_maa_") + letter));
    w.tensors.push_back(fused(to + "time_mix_lerp_fused.weight", shifts));
    if (seventh) {
      for (std::string m : {"w", "a", "v", "g"}) {
        const std::string from = m == "v" && layers == 0 ? "a" : m;   // layer 0 has no v; llama.cpp wants one, and does not use it
        if (m != "g") w.tensors.push_back(vector(to + "time_mix_" + m + "0.weight", need(a + from + "0")));
        for (const char* i : {"1", "2"}) w.tensors.push_back(transposed(to + "time_mix_" + m + i + ".weight", need(a + from + i)));
      }
      for (const char* m : {"k_k", "k_a", "r_k"}) w.tensors.push_back(vector(text(to, "time_mix_", m, ".weight"), need(a + m)));
      w.tensors.push_back(vector(to + "channel_mix_lerp_k.weight", need(f + "x_k")));
      continue;
    }
    all(a + "gate", to + "time_mix_gate"), all(f + "receptance", to + "channel_mix_receptance");
    for (auto [from, name] : {std::pair{"time_maa_w1", "w1"}, {"time_maa_w2", "w2"}, {"time_decay_w1", "decay_w1"}, {"time_decay_w2", "decay_w2"}})
      w.tensors.push_back(transposed(text(to, "time_mix_", name, ".weight"), need(a + from)));
    const Tensor bonus = need(a + "time_faaaa");
    w.tensors.push_back(as_it_is(to + "time_mix_first.weight", bonus, bonus.shape()));
    w.tensors.push_back(vector(to + "time_mix_decay.weight", need(a + "time_decay")));
    const Tensor x = need(a + "time_maa_x");
    w.tensors.push_back(as_it_is(to + "time_mix_lerp_x.weight", x, {1, 1, x.count()}));
    for (const char* m : {"k", "r"}) {
      const Tensor lerp = need(text(f, "time_maa_", m));
      w.tensors.push_back(as_it_is(text(to, "channel_mix_lerp_", m, ".weight"), lerp, {1, 1, lerp.count()}));
    }
  }
  w.whole("context_length", c.get("context_length", int64_t{1} << 20));
  w.whole("embedding_length", embedding.dim(-1));
  w.whole("block_count", layers);
  w.whole("feed_forward_length", need("blocks.0.ffn.key.weight").dim(0));
  w.whole("attention.head_count", 0);
  w.whole("vocab_size", embedding.dim(0));
  w.number("attention.layer_norm_epsilon", c.get("layer_norm_epsilon", c.get("norm_eps", 1e-5)));
  w.whole("wkv.head_size", per_head.dim(-1));
  auto rank = [&](const char* key, const char* name, int i, int parts = 1) { w.whole(key, need(text("blocks.0.att.", name)).dim(i) / parts); };
  if (seventh) {
    rank("attention.decay_lora_rank", "w1", -1), rank("attention.iclr_lora_rank", "a1", -1), rank("attention.gate_lora_rank", "g1", -1);
    w.whole("attention.value_residual_mix_lora_rank", layers > 1 ? need("blocks.1.att.v1").dim(-1) : need("blocks.0.att.a1").dim(-1));
  } else {
    w.whole("rescale_every_n_layers", 0);
    rank("time_mix_extra_dim", "time_maa_w1", -1, 5), rank("time_decay_extra_dim", "time_decay_w1", -1);
  }
}

GgufExport own(const Value& config, const TensorFile& tensors, const std::string& name) {
  GgufMetadata metadata(name);
  metadata.add("general.architecture", "headrace");
  metadata.add("general.name", name);
  metadata.add("headrace.config", to_json(config));
  return {std::move(metadata), sources(tensors.tensors())};
}

}  // namespace

GgufExport to_gguf(const Value& config, const TensorFile& tensors, const std::string& name, const std::string& file) {
  const Config c{config, file};
  std::string type = c.type();
  if (type.starts_with("rwkv")) {
    Source source;
    source.file = file;
    source.find = [&](const std::string& n) { const Tensor* t = tensors.find(n); return t ? *t : Tensor{}; };
    source.names = [&] { return tensors.names(); };
    const RwkvWriter writer = use_official_names(source, config, file);
    const bool seventh = static_cast<bool>(source.find("blocks.0.att.r_k"));
    const bool sixth = static_cast<bool>(source.find("blocks.0.att.time_maa_x"));
    if ((!seventh && !sixth) || config.find("attn")) return own(config, tensors, name);   // RWKV 4 and 5, and hybrids
    Writer w(seventh ? "rwkv7" : "rwkv6", name);
    rwkv(w, c, writer, source.find);
    return {std::move(w.metadata), std::move(w.tensors)};
  }
  static const std::map<std::string, std::string> other_names = {{"mistral", "llama"}, {"gemma3_text", "gemma3"}, {"falcon_mamba", "mamba"}};
  if (auto it = other_names.find(type); it != other_names.end()) type = it->second;
  const GgufArchitecture* arch = architecture_named(type);
  if (!arch || arch->renames.empty()) {
    const bool known = std::any_of(families().begin(), families().end(), [&](const Family& f) { return type == f.name; });
    expect(known, file, ": model_type ", shown(type), " is not known");
    return own(config, tensors, name);
  }
  Writer w(type, name);
  if (type == "gpt2") gpt2(w, c);
  else if (type.starts_with("mamba")) mamba(w, c, tensors);
  else attention(w, c);
  by_table(w, c, tensors, *arch);
  return {std::move(w.metadata), std::move(w.tensors)};
}

}  // namespace headrace
