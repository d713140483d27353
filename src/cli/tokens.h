// Rows of token ids in a safetensors file: int64 [T] or [B,T].
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace headrace::cli {

class TokenRows {
 public:
  TokenRows(std::vector<int32_t> ids, int64_t rows) : ids_(std::move(ids)), rows_(rows) {}
  int64_t rows() const { return rows_; }
  int64_t length() const { return static_cast<int64_t>(ids_.size()) / rows_; }
  std::span<const int32_t> row(int64_t b) const { return {ids_.data() + b * length(), static_cast<size_t>(length())}; }

 private:
  std::vector<int32_t> ids_;
  int64_t rows_;
};
TokenRows read_token_rows(const std::string& path, const std::string& name);

}  // namespace headrace::cli
