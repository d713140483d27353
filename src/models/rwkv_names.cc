// The tables, one for each writer, and what has to be done to a tensor besides giving it another name: transposed, cut, reordered.
#include "models/rwkv_names.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <span>
#include <unordered_map>

#include "base/error.h"
#include "nn/config.h"
#include "tensor/blocks.h"
#include "tensor/half.h"

namespace headrace {
namespace {

Tensor plain(const Tensor& t) { return is_block(t.dtype()) ? dequantised(t) : t.contiguous_or_copy(); }
// An element of the result for each index of its shape: that element of t. Shapes that do not fit are left to the model,
// which names what it wanted.
template <class F>
Tensor rearranged(const Tensor& t, const Shape& shape, F from) {
  Tensor x = plain(t), y = Tensor::empty(shape, x.dtype());
  const size_t size = bytes_of(x.dtype(), 1);
  for (int64_t i = 0; i < y.count(); ++i) std::memcpy(y.data<std::byte>() + i * size, x.data<std::byte>() + from(i) * size, size);
  return y;
}
Tensor transpose(const Tensor& t, int) {               // of the last two dimensions
  if (t.rank() < 2) return t;
  return plain(t).transposed_copy();
}
Tensor row(const Tensor& t, int i) { return t.rank() > 1 && i < t.dim(0) ? t[i] : t; }
Tensor by_head(const Tensor& t, int head_size) {
  return head_size > 0 && t.count() % head_size == 0 && t.contiguous() ? t.view({t.count() / head_size, head_size}) : t;
}
// flash-linear-attention has the five mixes of RWKV-6 in the order r, w, k, v, g; the official one is w, k, v, r, g.
constexpr int fla_place[] = {1, 2, 3, 0, 4};
Tensor mix_down(const Tensor& t, int) {                // [5 R, D] -> [D, 5 R]
  if (t.rank() != 2 || t.dim(0) % 5 != 0) return t;
  const int64_t R = t.dim(0) / 5, D = t.dim(1);
  return rearranged(t, {D, 5 * R}, [=](int64_t i) { return (fla_place[i % (5 * R) / R] * R + i % R) * D + i / (5 * R); });
}
Tensor mix_up(const Tensor& t, int) {                  // [D, 5 R] -> [5, R, D]
  if (t.rank() != 2 || t.dim(1) % 5 != 0) return t;
  const int64_t R = t.dim(1) / 5, D = t.dim(0);
  return rearranged(t, {5, R, D}, [=](int64_t i) { return i % D * 5 * R + fla_place[i / (R * D)] * R + i / D % R; });
}

// Times 2^power, which is exact: plain numbers one by one, blocks by their scales (and minima).
Tensor doubled(const Tensor& t, int power) {
  if (power == 0 || !has_values(t.dtype())) return t;
  Tensor y = t.contiguous_copy();
  const float factor = std::ldexp(1.f, power);
  auto scale_half = [&](std::byte* p) {
    uint16_t h;
    std::memcpy(&h, p, sizeof h);
    h = f32_to_f16(f16_to_f32(h) * factor);
    std::memcpy(p, &h, sizeof h);
  };
  if (!is_block(t.dtype())) {
    const int64_t cols = y.rank() ? y.dim(-1) : 1;
    std::vector<float> values(static_cast<size_t>(cols));
    for (std::byte *p = y.data<std::byte>(), *end = p + y.bytes(); p < end; p += bytes_of(y.dtype(), cols)) {
      dequantise_row(y.dtype(), p, values.data(), cols);
      for (float& v : values) v *= factor;
      quantise_row(y.dtype(), values.data(), p, cols);
    }
    return y;
  }
  struct Halves { DType t; int first, second; };       // where a block has its scale, and its minimum
  static constexpr Halves all[] = {{DType::q4_0, 0, -1}, {DType::q4_1, 0, 2}, {DType::q5_0, 0, -1}, {DType::q5_1, 0, 2}, {DType::q8_0, 0, -1},
                                   {DType::q2_k, 80, 82}, {DType::q3_k, 108, -1}, {DType::q4_k, 0, 2}, {DType::q5_k, 0, 2},
                                   {DType::q6_k, 208, -1}, {DType::iq4_nl, 0, -1}, {DType::iq4_xs, 0, -1}};
  for (const Halves& h : all)
    if (h.t == y.dtype())
      for (std::byte *p = y.data<std::byte>(), *end = p + y.bytes(); p < end; p += info(h.t).block_bytes) {
        scale_half(p + h.first);
        if (h.second >= 0) scale_half(p + h.second);
      }
  return y;
}

// A name in the file, whole or up to a dot, becomes the official one with the same rest. Rules in a row with the same
// `file` all apply: one tensor holds several.
struct Rule {
  const char* file;
  const char* official;
  Tensor (*make)(const Tensor&, int) = nullptr;
  int argument = 0;
};
struct Table {
  RwkvWriter writer;
  const char* mark;                                    // a name that only this writer's files have
  const char* layer;                                   // what stands before a layer's number
  std::span<const Rule> top, in_layer;
};

constexpr Rule transformers_top[] = {{"rwkv.embeddings", "emb"}, {"rwkv.ln_out", "ln_out"}, {"head", "head"}};
constexpr Rule transformers_layer[] = {
    {"ln1", "ln1"}, {"ln2", "ln2"}, {"pre_ln", "ln0"},
    {"attention.time_mix_key", "att.time_mix_k"}, {"attention.time_mix_value", "att.time_mix_v"},
    {"attention.time_mix_receptance", "att.time_mix_r"}, {"attention.time_mix_gate", "att.time_mix_g"},
    {"feed_forward.time_mix_key", "ffn.time_mix_k"}, {"feed_forward.time_mix_receptance", "ffn.time_mix_r"},
    {"attention", "att"}, {"feed_forward", "ffn"},
};

constexpr Rule fla_top[] = {{"model.embeddings", "emb"}, {"model.norm", "ln_out"}, {"lm_head", "head"}};
constexpr Rule fla_layer[] = {
    {"pre_norm", "ln0"}, {"attn_norm", "ln1"}, {"ffn_norm", "ln2"},
    {"attn.g_norm", "att.ln_x"}, {"attn.o_proj", "att.output"},
    // RWKV-6
    {"attn.x_proj.0.mu", "att.time_maa_x"}, {"attn.x_proj.0.linear.weight", "att.time_maa_w1", mix_down},
    {"attn.x_proj.2.weight", "att.time_maa_w2", mix_up},
    {"attn.x_bias", "att.time_maa_r", row, 0}, {"attn.x_bias", "att.time_maa_w", row, 1}, {"attn.x_bias", "att.time_maa_k", row, 2},
    {"attn.x_bias", "att.time_maa_v", row, 3}, {"attn.x_bias", "att.time_maa_g", row, 4},
    {"attn.w_proj.linear.lora.0.weight", "att.time_decay_w1", transpose}, {"attn.w_proj.linear.lora.2.weight", "att.time_decay_w2", transpose},
    {"attn.w_proj.linear.lora.2.bias", "att.time_decay"}, {"attn.bonus", "att.time_faaaa"},
    {"attn.r_proj.linear", "att.receptance"}, {"attn.k_proj.linear", "att.key"},
    {"attn.v_proj.linear", "att.value"}, {"attn.g_proj.linear", "att.gate"},
    {"ffn.key.mu", "ffn.time_maa_k"}, {"ffn.receptance.mu", "ffn.time_maa_r"},
    {"ffn.key.linear", "ffn.key"}, {"ffn.receptance.linear", "ffn.receptance"},
    // RWKV-7
    {"attn.r_proj", "att.receptance"}, {"attn.k_proj", "att.key"}, {"attn.v_proj", "att.value"},
    {"attn.w_lora.lora.0.weight", "att.w1", transpose}, {"attn.w_lora.lora.2.weight", "att.w2", transpose}, {"attn.w_lora.lora.2.bias", "att.w0"},
    {"attn.a_lora.lora.0.weight", "att.a1", transpose}, {"attn.a_lora.lora.2.weight", "att.a2", transpose}, {"attn.a_lora.lora.2.bias", "att.a0"},
    {"attn.v_lora.lora.0.weight", "att.v1", transpose}, {"attn.v_lora.lora.2.weight", "att.v2", transpose}, {"attn.v_lora.lora.2.bias", "att.v0"},
    {"attn.g_lora.lora.0.weight", "att.g1", transpose}, {"attn.g_lora.lora.2.weight", "att.g2", transpose},
    {"attn.x_x", "att.x_r", row, 0}, {"attn.x_x", "att.x_w", row, 1}, {"attn.x_x", "att.x_k", row, 2},      // its first releases
    {"attn.x_x", "att.x_v", row, 3}, {"attn.x_x", "att.x_a", row, 4}, {"attn.x_x", "att.x_g", row, 5},
    {"attn", "att"}, {"ffn", "ffn"},
};

constexpr Rule gguf_top[] = {{"token_embd", "emb"}, {"token_embd_norm", "blocks.0.ln0"}, {"output_norm", "ln_out"}, {"output", "head"}};
constexpr Rule gguf6_layer[] = {
    {"attn_norm", "ln1"}, {"attn_norm_2", "ln2"},
    {"time_mix_lerp_x.weight", "att.time_maa_x"}, {"time_mix_w1.weight", "att.time_maa_w1", transpose},
    {"time_mix_w2.weight", "att.time_maa_w2", transpose},
    {"time_mix_lerp_fused.weight", "att.time_maa_w", row, 0}, {"time_mix_lerp_fused.weight", "att.time_maa_k", row, 1},
    {"time_mix_lerp_fused.weight", "att.time_maa_v", row, 2}, {"time_mix_lerp_fused.weight", "att.time_maa_r", row, 3},
    {"time_mix_lerp_fused.weight", "att.time_maa_g", row, 4},
    {"time_mix_lerp_w.weight", "att.time_maa_w"}, {"time_mix_lerp_k.weight", "att.time_maa_k"}, {"time_mix_lerp_v.weight", "att.time_maa_v"},
    {"time_mix_lerp_r.weight", "att.time_maa_r"}, {"time_mix_lerp_g.weight", "att.time_maa_g"},             // before they were fused
    {"time_mix_first.weight", "att.time_faaaa"}, {"time_mix_decay.weight", "att.time_decay"},
    {"time_mix_decay_w1.weight", "att.time_decay_w1", transpose}, {"time_mix_decay_w2.weight", "att.time_decay_w2", transpose},
    {"time_mix_receptance", "att.receptance"}, {"time_mix_key", "att.key"}, {"time_mix_value", "att.value"}, {"time_mix_gate", "att.gate"},
    {"time_mix_output", "att.output"}, {"time_mix_ln", "att.ln_x"},
    {"channel_mix_lerp_k.weight", "ffn.time_maa_k"}, {"channel_mix_lerp_r.weight", "ffn.time_maa_r"},
    {"channel_mix_key", "ffn.key"}, {"channel_mix_value", "ffn.value"}, {"channel_mix_receptance", "ffn.receptance"},
};
constexpr Rule gguf7_layer[] = {
    {"attn_norm", "ln1"}, {"attn_norm_2", "ln2"},
    {"time_mix_lerp_fused.weight", "att.x_r", row, 0}, {"time_mix_lerp_fused.weight", "att.x_w", row, 1},
    {"time_mix_lerp_fused.weight", "att.x_k", row, 2}, {"time_mix_lerp_fused.weight", "att.x_v", row, 3},
    {"time_mix_lerp_fused.weight", "att.x_a", row, 4}, {"time_mix_lerp_fused.weight", "att.x_g", row, 5},
    {"time_mix_w0.weight", "att.w0"}, {"time_mix_w1.weight", "att.w1", transpose}, {"time_mix_w2.weight", "att.w2", transpose},
    {"time_mix_a0.weight", "att.a0"}, {"time_mix_a1.weight", "att.a1", transpose}, {"time_mix_a2.weight", "att.a2", transpose},
    {"time_mix_v0.weight", "att.v0"}, {"time_mix_v1.weight", "att.v1", transpose}, {"time_mix_v2.weight", "att.v2", transpose},
    {"time_mix_g1.weight", "att.g1", transpose}, {"time_mix_g2.weight", "att.g2", transpose},
    {"time_mix_k_k.weight", "att.k_k"}, {"time_mix_k_a.weight", "att.k_a"}, {"time_mix_r_k.weight", "att.r_k", by_head},
    {"time_mix_receptance", "att.receptance"}, {"time_mix_key", "att.key"}, {"time_mix_value", "att.value"}, {"time_mix_output", "att.output"},
    {"time_mix_ln", "att.ln_x"}, {"channel_mix_lerp_k.weight", "ffn.x_k"}, {"channel_mix_key", "ffn.key"}, {"channel_mix_value", "ffn.value"},
};
constexpr Table tables[] = {
    {RwkvWriter::transformers, "rwkv.embeddings.weight", "rwkv.blocks.", transformers_top, transformers_layer},
    {RwkvWriter::fla, "model.embeddings.weight", "model.layers.", fla_top, fla_layer},
    {RwkvWriter::gguf, "blk.0.time_mix_r_k.weight", "blk.", gguf_top, gguf7_layer},
    {RwkvWriter::gguf, "token_embd.weight", "blk.", gguf_top, gguf6_layer},
};

struct Found {
  std::string file;
  Tensor (*make)(const Tensor&, int);
  int argument, doublings;
  Tensor made;                                         // kept while the file is open: shapes are asked for first
};
using Map = std::unordered_map<std::string, Found>;

// Adds what the first rule for `name` (and its neighbours for the same tensor) make of it. False: no rule.
bool translate(std::span<const Rule> rules, const std::string& name, const std::string& file_name, const std::string& prefix, Map& map,
               std::vector<std::string>& order) {
  for (size_t i = 0; i < rules.size(); ++i) {
    const size_t n = std::strlen(rules[i].file);
    if (name.compare(0, n, rules[i].file) != 0 || (name.size() > n && name[n] != '.')) continue;
    for (size_t j = i; j < rules.size() && std::strcmp(rules[j].file, rules[i].file) == 0; ++j) {
      std::string official = prefix + rules[j].official + name.substr(n);
      if (map.emplace(official, Found{file_name, rules[j].make, rules[j].argument, 0, {}}).second) order.push_back(std::move(official));
    }
    return true;
  }
  return false;
}

// Each tensor of the file with what became of its elements: where a rule put them is what it does to their numbers.
Source::Tensors as_stored(const Map& map, const std::function<Tensor(const std::string&)>& find, const Source::Tensors& found) {
  Source::Tensors stored;
  for (const auto& [official, t] : found) {
    const Found& f = map.at(official);
    const Tensor before = find(f.file);
    Tensor& after = stored[f.file];
    const Tensor values = copy_to(t.contiguous_or_copy(), Device::cpu);
    expect(f.doublings == 0, official, ": stored as ", f.file, ", halved by depth; such a model is not trained under these names");
    if (!f.make) {
      after = values.view(before.shape());
      continue;
    }
    if (!after) after = dequantised(before);
    const Tensor numbers = Tensor::empty(before.shape(), DType::i64);
    for (int64_t i = 0; i < numbers.count(); ++i) numbers.data<int64_t>()[i] = i;
    const Tensor places = f.make(numbers, f.argument).contiguous_or_copy();
    expect(places.count() == values.count(), official, ": ", values.shape(), " where ", f.file, " gives ", places.shape());
    for (int64_t i = 0; i < places.count(); ++i) after.f32()[places.data<int64_t>()[i]] = values.f32()[i];
  }
  return stored;
}

int config_int(const Value& config, const char* key) {
  const Value* v = config.find(key);
  int n = 0;
  return v && read_value(*v, n) ? n : 0;
}

}  // namespace

RwkvWriter use_official_names(Source& source, const Value& config, const std::string& file) {
  const Table* table = nullptr;
  for (const Table& t : tables)
    if (!table && source.find(t.mark)) table = &t;
  if (!table) return RwkvWriter::official;

  auto map = std::make_shared<Map>();
  std::vector<std::string> order;
  const std::string layer = table->layer;
  for (const std::string& name : source.names()) {
    int64_t l = -1;
    if (name.compare(0, layer.size(), layer) == 0) {
      const char *begin = name.data() + layer.size(), *end = name.data() + name.size();
      auto [dot, error] = std::from_chars(begin, end, l);
      if (error == std::errc() && dot < end && *dot == '.' && l >= 0 &&
          translate(table->in_layer, std::string(dot + 1, end), name, text("blocks.", l, "."), *map, order))
        continue;
    } else if (translate(table->top, name, name, "", *map, order)) {
      continue;
    }
    if (map->emplace(name, Found{name, nullptr, 0, 0, {}}).second) order.push_back(name);
  }
  if (table->writer == RwkvWriter::gguf) {
    const int head_size = config_int(config, "head_size"), every = config_int(config, "rescale_every");
    expect(head_size >= 0 && every >= 0, file, ": head_size = ", head_size, ", rescale_every = ", every);
    for (auto& [name, found] : *map) {
      if (found.make == by_head) found.argument = head_size;
      int64_t l = 0;
      if (every > 0 && (name.ends_with(".att.output.weight") || name.ends_with(".ffn.value.weight")) && name.starts_with("blocks."))
        std::from_chars(name.data() + 7, name.data() + name.size(), l), found.doublings = static_cast<int>(std::min<int64_t>(l / every, 24));
    }
  }
  if (source.trains) source.as_stored = [map, find = source.find](const Source::Tensors& found) { return as_stored(*map, find, found); };
  source.find = [map, find = source.find](const std::string& name) {
    auto it = map->find(name);
    if (it == map->end()) return Tensor{};
    Found& f = it->second;
    if (f.made) return f.made;
    Tensor t = find(f.file);
    if (t && f.make) t = f.made = f.make(t, f.argument);
    return t ? doubled(t, f.doublings) : t;
  };
  source.names = [order] { return order; };
  return table->writer;
}

}  // namespace headrace
