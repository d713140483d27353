// The table of element types: name, values and bytes of a block, the numbers of ggml and the names of safetensors.
#include "tensor/dtype.h"

#include "base/error.h"

namespace headrace {
namespace {

constexpr DTypeInfo table[dtype_count] = {
    {"f32", 1, 4, 0, "F32"},       {"f16", 1, 2, 1, "F16"},       {"bf16", 1, 2, 30, "BF16"},
    {"f64", 1, 8, 28, "F64"},      {"i8", 1, 1, 24, "I8"},        {"u8", 1, 1, -1, "U8"},
    {"i16", 1, 2, 25, "I16"},      {"i32", 1, 4, 26, "I32"},      {"i64", 1, 8, 27, "I64"},
    {"bool", 1, 1, -1, "BOOL"},    {"q4_0", 32, 18, 2, nullptr},  {"q4_1", 32, 20, 3, nullptr},
    {"q5_0", 32, 22, 6, nullptr},  {"q5_1", 32, 24, 7, nullptr},  {"q8_0", 32, 34, 8, nullptr},
    {"q2_k", 256, 84, 10, nullptr}, {"q3_k", 256, 110, 11, nullptr}, {"q4_k", 256, 144, 12, nullptr},
    {"q5_k", 256, 176, 13, nullptr}, {"q6_k", 256, 210, 14, nullptr}, {"iq4_nl", 32, 18, 20, nullptr},
    {"iq4_xs", 256, 136, 23, nullptr},
};

}  // namespace

const DTypeInfo& info(DType t) { return table[static_cast<int>(t)]; }

DType dtype_from_name(std::string_view name) {
  for (int i = 0; i < dtype_count; ++i)
    if (name == table[i].name) return static_cast<DType>(i);
  std::string all;
  for (const auto& d : table) all += std::string(all.empty() ? "" : " ") + d.name;
  fail("unknown dtype '", name, "'; known: ", all);
}

void append(std::string& s, DType t) { s += name(t); }

}  // namespace headrace
