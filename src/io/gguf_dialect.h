// GGUF's dialect: a file says general.architecture, ARCH.block_count, blk.3.attn_q.weight where Hugging Face says model_type,
// num_hidden_layers, model.layers.3.self_attn.q_proj.weight. GgufModel speaks Hugging Face's, so that a family's file reads
// both. Values that GGUF stores in another way come out as the family expects them; matrices stay as they lie in the
// file, block-quantised ones too:
//   llama, smollm3        rows of q and k are permuted so that neighbouring pairs rotate: config says rope_interleaved
//   gemma, gemma2, 3      norms hold 1 + w: 1 is subtracted
//   mamba, mamba2         ssm_a holds -exp(A_log): the logarithm is taken
//   gpt2                  matrices are [out,in], Hugging Face's [in,out]: the family tells by the shape
//   rope_freqs.weight     rope_scaling of type "factors"
// The architecture "headrace" is ours, for families that GGUF has none for: headrace.config holds config.json's text.
#pragma once
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/gguf.h"
#include "nn/value.h"

namespace headrace {

class GgufModel {
 public:
  // shapes_only: no value is read to be changed (plans). Throws Error for an unknown architecture, and for keys that are
  // missing or of another type.
  explicit GgufModel(GgufFile file, bool shapes_only = false);
  const GgufFile& file() const { return file_; }
  const Value& config() const { return config_; }
  Tensor find(const std::string& name) const;        // empty when there is none
  std::vector<std::string> names() const;            // a tensor that the dialect does not know keeps its name

 private:
  using Change = Tensor (*)(const Tensor&, bool shapes_only);
  struct Stored { std::string name; Change change; };
  GgufFile file_;
  bool shapes_only_;
  Value config_;
  std::map<std::string, Stored> stored_;
};

// For the tables of architectures (gguf_dialect_*.cc): the metadata of one file, keys after "ARCH.".
class GgufReader {
 public:
  GgufReader(const GgufFile& file, std::string architecture) : file_(file), arch_(std::move(architecture)) {}
  std::string key(const char* name) const { return arch_ + "." + name; }
  bool has(const char* name) const { return meta().has(key(name)); }
  int64_t integer(const char* name) const { return meta().integer(key(name)); }
  int64_t integer(const char* name, int64_t otherwise) const { return meta().integer(key(name), otherwise); }
  double number(const char* name) const { return meta().number(key(name)); }
  double number(const char* name, double otherwise) const { return meta().number(key(name), otherwise); }
  bool boolean(const char* name, bool otherwise) const { return meta().boolean(key(name), otherwise); }
  std::string string(const char* name, const char* otherwise) const { return meta().string(key(name), otherwise); }
  int64_t same_in_all_layers(const char* name, int64_t otherwise) const;   // an array must hold one number many times
  const Tensor* tensor(const char* name) const { return file_.tensors().find(name); }
  Array values(const char* tensor) const;            // of a small tensor
  int64_t vocabulary() const;                        // rows of token_embd.weight
  const GgufMetadata& meta() const { return file_.metadata(); }

 private:
  const GgufFile& file_;
  std::string arch_;
};

// "attn_q" within a block (or "token_embd" outside) stands for `to`, .weight and .bias alike; '*' is the block's number,
// and a '!' at the end says that the name is whole.
struct GgufRename {
  const char* from;
  const char* to;
  Tensor (*change)(const Tensor& stored, bool shapes_only) = nullptr;
};
struct GgufArchitecture {
  const char* name;
  void (*configure)(const GgufReader& r, Object& config);
  std::span<const GgufRename> renames;
};
std::span<const GgufArchitecture> gguf_attention_architectures();   // gguf_dialect_attention.cc
std::span<const GgufArchitecture> gguf_recurrent_architectures();   // gguf_dialect_recurrent.cc

}  // namespace headrace
