// Reading: the file's architecture gives the table (gguf_dialect_attention.cc, gguf_dialect_recurrent.cc) by which its keys become
// config.json's and its names Hugging Face's. A tensor is changed when it is asked for, not before.
#include "io/gguf_dialect.h"

#include <algorithm>

#include "base/error.h"
#include "io/bytes.h"
#include "tensor/blocks.h"

namespace headrace {
namespace {

const GgufArchitecture& architecture(const GgufFile& file) {
  const std::string& name = file.metadata().string("general.architecture");
  std::string known;
  for (auto list : {gguf_attention_architectures(), gguf_recurrent_architectures()})
    for (const GgufArchitecture& a : list) {
      if (name == a.name) return a;
      known += std::string(known.empty() ? "" : ", ") + a.name;
    }
  fail(file.metadata().path(), ": 'general.architecture': wanted one of ", known, ", found ", shown(name));
}

// "blk.12.attn_q.weight" -> "attn_q", "12", ".weight"
struct Parts { std::string stem, block, suffix; };
Parts parts_of(const std::string& name) {
  Parts p{name, "", ""};
  if (name.starts_with("blk.")) {
    const size_t dot = name.find('.', 4);
    if (dot != name.npos) p = {name.substr(dot + 1), name.substr(4, dot - 4), ""};
  }
  for (const char* suffix : {".weight", ".bias"})
    if (p.stem.ends_with(suffix)) p.suffix = suffix, p.stem.resize(p.stem.size() - p.suffix.size());
  return p;
}

}  // namespace

int64_t GgufReader::same_in_all_layers(const char* name, int64_t otherwise) const {
  if (!has(name)) return otherwise;
  const std::vector<int64_t> all = meta().integers(key(name));
  expect(!all.empty() && std::all_of(all.begin(), all.end(), [&](int64_t n) { return n == all[0]; }), meta().path(), ": '", key(name),
         "': wanted the same number for all layers, found ", all);
  return all[0];
}

Array GgufReader::values(const char* tensor) const {
  const Tensor& t = file_.tensors().at(tensor);
  expect(t.dtype() == DType::f32 && t.count() <= 65536, meta().path(), ": ", tensor, ": wanted at most 65536 f32, found ", t.dtype(), " ", t.shape());
  Array all;
  for (float v : t.floats()) all.emplace_back(double{v});
  return all;
}

int64_t GgufReader::vocabulary() const {
  const Tensor& t = file_.tensors().at("token_embd.weight");
  expect(t.rank() == 2, meta().path(), ": token_embd.weight: wanted a matrix, found ", t.shape());
  return t.dim(0);
}

GgufModel::GgufModel(GgufFile file, bool shapes_only) : file_(std::move(file)), shapes_only_(shapes_only) {
  const GgufArchitecture& arch = architecture(file_);
  Object config{{"model_type", arch.name}};
  arch.configure(GgufReader(file_, arch.name), config);
  config_ = std::move(config);
  for (const std::string& name : file_.names()) {
    if (name.starts_with("rope_freqs.") || name.starts_with("rope_factors_")) continue;   // in the configuration by now
    const Parts p = parts_of(name);
    const auto r = std::find_if(arch.renames.begin(), arch.renames.end(), [&](const GgufRename& r) {
      return p.stem == r.from && p.block.empty() == (std::string_view(r.to).find('*') == std::string_view::npos);
    });
    if (r == arch.renames.end()) {
      stored_.emplace(name, Stored{name, nullptr});
      continue;
    }
    std::string to = r->to;
    if (const size_t star = to.find('*'); star != to.npos) to.replace(star, 1, p.block);
    // A name that is a leaf of its own ("A_log!") takes no suffix.
    if (!to.ends_with('!')) to += p.suffix;
    else to.pop_back();
    const bool fresh = stored_.emplace(to, Stored{name, r->change}).second;
    expect(fresh, file_.metadata().path(), ": ", shown(name), " and ", shown(stored_.at(to).name), " are the same parameter");
  }
}

Tensor GgufModel::find(const std::string& name) const {
  const auto it = stored_.find(name);
  if (it == stored_.end()) return {};
  const Tensor t = file_.tensor(it->second.name);
  return it->second.change ? it->second.change(t, shapes_only_) : t;
}
std::vector<std::string> GgufModel::names() const {
  std::vector<std::string> all;
  for (const auto& [name, stored] : stored_) all.push_back(name);
  return all;
}

}  // namespace headrace
