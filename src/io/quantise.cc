// Which tensor becomes what, by the stem of its name, and the conversion itself, by threads in pieces that are whole blocks of both types.
#include "io/quantise.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "io/bytes.h"
#include "tensor/blocks.h"

namespace headrace {
namespace {

// llama.cpp's general.file_type; the K formats are mixtures, which it calls "medium".
struct Target {
  DType type;
  uint32_t file_type;
};
constexpr Target targets[] = {{DType::f32, 0},   {DType::f16, 1},   {DType::q4_0, 2},  {DType::q4_1, 3},  {DType::q8_0, 7},
                              {DType::q5_0, 8},  {DType::q5_1, 9},  {DType::q2_k, 10}, {DType::q3_k, 12}, {DType::q4_k, 15},
                              {DType::q5_k, 17}, {DType::q6_k, 18}, {DType::iq4_nl, 25}, {DType::iq4_xs, 30}, {DType::bf16, 32}};

// "blk.3.time_mix_w1.weight" -> "time_mix_w1"; empty where the name does not end with .weight.
std::string_view stem_of(std::string_view name) {
  constexpr std::string_view ending = ".weight";
  if (!name.ends_with(ending)) return {};
  name.remove_suffix(ending.size());
  if (name.starts_with("blk.")) {
    const size_t dot = name.find('.', 4);
    if (dot != name.npos) name.remove_prefix(dot + 1);
  }
  return name;
}
// The matrix before the logits, and the one after the tokens: llama.cpp's names, and those that our own architecture keeps.
bool is_head(std::string_view stem) { return stem == "output" || stem == "lm_head" || stem == "head"; }
bool is_embedding(std::string_view stem) {
  return stem == "token_embd" || stem == "emb" || stem.ends_with("embed_tokens") || stem.ends_with("embeddings");
}
bool is_small(std::string_view stem) {
  static constexpr std::string_view exact[] = {"ssm_conv1d", "shortconv.conv", "ssm_dt", "ffn_gate_inp", "position_embd", "token_types",
      "attn_rel_b"};
  if (stem.find(".gk_proj.") != stem.npos) return true;   // the low-rank map to gla's decays
  if (stem.empty() || stem.find("norm") != stem.npos || stem.starts_with("rope_")) return true;
  if (stem.starts_with("time_mix_"))
    return stem != "time_mix_key" && stem != "time_mix_value" && stem != "time_mix_receptance" && stem != "time_mix_gate"
        && stem != "time_mix_output";
  if (stem.starts_with("channel_mix_")) return stem.find("lerp") != stem.npos;
  return std::find(std::begin(exact), std::end(exact), stem) != std::end(exact);
}
DType next_larger(DType t) {
  return t == DType::q2_k ? DType::q3_k : t == DType::q3_k ? DType::q4_k : t == DType::q4_k ? DType::q5_k : t == DType::q5_k ? DType::q6_k : t;
}
// With blocks of 32 where 256 do not divide the row.
DType smaller_blocks(DType t) {
  switch (t) {
    case DType::q2_k: case DType::q3_k: case DType::iq4_xs: return DType::iq4_nl;
    case DType::q4_k: return DType::q5_0;
    case DType::q5_k: return DType::q5_1;
    case DType::q6_k: return DType::q8_0;
    default: return t;
  }
}

// Rows are whole blocks of both types, so pieces of the flat tensor are too.
Tensor converted(const Tensor& t, DType to, const std::string& where) {
  constexpr int64_t piece = 8192;
  Tensor out = Tensor::empty(t.shape(), to);
  const int64_t n = t.count();
  parallel((n + piece - 1) / piece, 1, [&](int64_t begin, int64_t end, int) {
    std::vector<float> values(piece);
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * piece, count = std::min(piece, n - first);
      dequantise_row(t.dtype(), t.data<std::byte>() + bytes_of(t.dtype(), first), values.data(), count);
      for (int64_t i = 0; i < count; ++i) {
        expect(std::isfinite(values[i]), where, ": value ", first + i, " is not finite");
        expect(to != DType::f16 || std::abs(values[i]) < 65520.f, where, ": value ", first + i, " = ", double{values[i]},
            " is too large for f16; use bf16");
      }
      quantise_row(to, values.data(), out.data<std::byte>() + bytes_of(to, first), count);
    }
  });
  return out;
}

}  // namespace

DType quantised_type(std::string_view name) {
  std::string lower(name), known;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const Target& t : targets) {
    if (lower == headrace::name(t.type)) return t.type;
    known += std::string(known.empty() ? "" : " ") + headrace::name(t.type);
  }
  fail("wanted one of ", known, ", found ", shown(name));
}

StoredAs stored_as(std::string_view name, const Shape& shape, DType type, bool tied) {
  const std::string_view stem = stem_of(name);
  if (shape.rank() < 2 || shape[-2] < 2 || is_small(stem)) return {DType::f32, false};
  if (!is_block(type)) return {type, false};
  DType t = type;
  if (is_head(stem) || (tied && is_embedding(stem))) t = type == DType::q8_0 ? type : DType::q6_k;
  else if (stem == "attn_v" || stem.starts_with("ffn_down")) t = next_larger(type);
  auto divides = [&](DType d) { return shape[-1] % info(d).block == 0; };
  if (divides(t)) return {t, false};
  const bool only_head = t != type && t == DType::q6_k && divides(DType::q8_0);   // as the policy says
  t = smaller_blocks(t);
  return divides(t) ? StoredAs{t, !only_head} : StoredAs{DType::f16, true};
}

void quantise(const GgufMetadata& metadata, const std::vector<TensorSource>& tensors, const std::string& out, DType type,
              const std::function<void(const QuantisedTensor&)>& tell) {
  GgufMetadata carried(out);
  for (const auto& [key, value] : metadata.all())
    if (!key.starts_with("split.")) carried.add(key, value);   // the result is one file
  const auto* target = std::find_if(std::begin(targets), std::end(targets), [&](const Target& t) { return t.type == type; });
  expect(target != std::end(targets), out, ": no file is written as ", type);
  carried.set("general.file_type", target->file_type);
  carried.set("general.quantization_version", uint32_t{2});
  const bool tied = std::none_of(tensors.begin(), tensors.end(), [](const TensorSource& t) { return is_head(stem_of(t.name)); });
  std::vector<TensorSource> made;
  for (const TensorSource& t : tensors) {
    if (!has_values(t.dtype)) {                    // integers stay what they are
      made.push_back(t);
      continue;
    }
    const StoredAs as = stored_as(t.name, t.shape, type, tied);
    made.push_back({t.name, as.dtype, t.shape, [t, as, out, tell] {
      if (tell) tell({t.name, t.shape, t.dtype, as.dtype, as.fell_back, bytes_of(t.dtype, t.shape.count()), bytes_of(as.dtype, t.shape.count())});
      Tensor from = t.make();
      if (from.dtype() == as.dtype) return from;
      Tensor to = converted(from.contiguous_or_copy(), as.dtype, text(out, ": tensor ", shown(t.name)));
      if (from.storage()->owner) release_pages(from.raw(), from.bytes());
      return to;
    }});
  }
  write_gguf(out, carried, made);
}
void quantise(const GgufFile& in, const std::string& out, DType type, const std::function<void(const QuantisedTensor&)>& tell) {
  quantise(in.metadata(), sources(in.tensors().tensors()), out, type, tell);
}

}  // namespace headrace
