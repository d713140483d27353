// Element types: plain ones, and the block formats of GGUF (a block of values along the last dimension shares scales).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace headrace {

enum class DType : uint8_t {
  f32, f16, bf16, f64, i8, u8, i16, i32, i64, boolean,
  q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs,
};
constexpr int dtype_count = static_cast<int>(DType::iq4_xs) + 1;

struct DTypeInfo {
  const char* name;      // "f32", "q4_k": what we print and parse
  int block;             // values in a block, 1 for plain types
  int block_bytes;       // bytes of a block
  int gguf;              // ggml type number, -1 where GGUF has none
  const char* safetensors;   // its name there, null where it has none
};
const DTypeInfo& info(DType t);
inline const char* name(DType t) { return info(t).name; }
inline bool is_block(DType t) { return info(t).block > 1; }
inline bool is_float(DType t) { return t <= DType::f64; }
DType dtype_from_name(std::string_view name);   // throws Error
// Bytes of n values; n must be whole blocks.
inline size_t bytes_of(DType t, int64_t n) { return static_cast<size_t>(n / info(t).block) * info(t).block_bytes; }
void append(std::string& s, DType t);

}  // namespace headrace
