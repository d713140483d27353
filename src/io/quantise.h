// `headrace quantize`: a model rewritten in another element type, as a GGUF file.
//
// What gets the asked type are matrices, the many parameters that a product streams. What stays f32 is small and
// errs for good: norms, biases, convolution taps, decays, dt, routers, RWKV's token shifts and low-rank matrices,
// learned positions. The matrix before the logits gets at least 6 bits (Q6_K, or Q8_0 where its rows are no multiple of 256), and
// with a K format values and the way down (attn_v, ffn_down) get the next larger one, because their errors add to the stream.
// Rows that the format's blocks do not divide fall back to the nearest format of blocks of 32, or to F16.
#pragma once
#include <functional>
#include <string>

#include "io/gguf.h"

namespace headrace {

// Asked for by name: "Q4_0" ... "Q6_K", "IQ4_NL", "IQ4_XS", "F16", "BF16", "F32" in any case. Throws Error with the list.
DType quantised_type(std::string_view name);

struct StoredAs {
  DType dtype;
  bool fell_back;                        // the blocks of the type that the policy wanted do not divide the rows
};
// `tied`: the file has no output.weight, so the embedding is the matrix before the logits.
StoredAs stored_as(std::string_view gguf_name, const Shape& shape, DType type, bool tied);

struct QuantisedTensor {
  const std::string& name;
  const Shape& shape;
  DType from, to;
  bool fell_back;
  size_t from_bytes, to_bytes;
};
// Told about each tensor before it is made. Metadata is carried over but for what says how it is stored. Atomic; holds one
// tensor of the output at a time. Values that are not finite, or too large for F16, are an Error that names the tensor.
void quantise(const GgufMetadata& metadata, const std::vector<TensorSource>& tensors, const std::string& out, DType type,
              const std::function<void(const QuantisedTensor&)>& tell = {});
void quantise(const GgufFile& in, const std::string& out, DType type, const std::function<void(const QuantisedTensor&)>& tell = {});

}  // namespace headrace
