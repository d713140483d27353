// GGUF, versions 2 and 3, little-endian: typed metadata, then tensors at aligned offsets (the file format of ggml).
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "io/tensor_file.h"

namespace headrace {

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
const char* name(GgufType t);

// Numbers are kept wide (uint64_t, int64_t, double), the stored type beside them; writing gives the stored type back.
struct GgufValue;
struct GgufArray {
  GgufType element = GgufType::u8;
  std::variant<std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>, std::vector<bool>,
               std::vector<std::string>, std::vector<GgufValue>> values;   // the last: arrays of arrays
  size_t size() const;
};
struct GgufValue {
  GgufType type = GgufType::u8;
  std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray> value;

  GgufValue() = default;
  GgufValue(uint32_t v) : type(GgufType::u32), value(uint64_t{v}) {}
  GgufValue(int32_t v) : type(GgufType::i32), value(int64_t{v}) {}
  GgufValue(uint64_t v) : type(GgufType::u64), value(v) {}
  GgufValue(int64_t v) : type(GgufType::i64), value(v) {}
  GgufValue(float v) : type(GgufType::f32), value(double{v}) {}
  GgufValue(double v) : type(GgufType::f64), value(v) {}
  GgufValue(bool v) : type(GgufType::boolean), value(v) {}
  GgufValue(std::string v) : type(GgufType::string), value(std::move(v)) {}
  GgufValue(const char* v) : GgufValue(std::string(v)) {}
  GgufValue(std::vector<std::string> v);
  GgufValue(const std::vector<float>& v);
  GgufValue(const std::vector<int32_t>& v);
  GgufValue(const std::vector<uint32_t>& v);
};

// Keys in file order. Every accessor throws "<file>: <key>: wanted ..., found ..."; those with `otherwise` return it
// only when the key is not there, never when its type is another. Integers of any width and sign are integers;
// number() takes integers too.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string path = "gguf") : path_(std::move(path)) {}
  const std::string& path() const { return path_; }
  const std::vector<std::pair<std::string, GgufValue>>& all() const { return values_; }
  void add(std::string key, GgufValue value);      // throws when the key is there
  void set(const std::string& key, GgufValue value);   // adds or replaces
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const GgufValue* find(std::string_view key) const;
  const GgufValue& at(std::string_view key) const;

  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  bool boolean(std::string_view key) const;
  const std::string& string(std::string_view key) const;
  int64_t integer(std::string_view key, int64_t otherwise) const { return has(key) ? integer(key) : otherwise; }
  double number(std::string_view key, double otherwise) const { return has(key) ? number(key) : otherwise; }
  bool boolean(std::string_view key, bool otherwise) const { return has(key) ? boolean(key) : otherwise; }
  std::string string(std::string_view key, std::string_view otherwise) const { return has(key) ? string(key) : std::string(otherwise); }

  const std::vector<std::string>& strings(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;   // a single integer gives a list of one
  std::vector<double> numbers(std::string_view key) const;
  std::vector<bool> booleans(std::string_view key) const;

 private:
  [[noreturn]] void mismatch(std::string_view key, const char* wanted) const;
  std::string path_;
  std::vector<std::pair<std::string, GgufValue>> values_;
  std::unordered_map<std::string, size_t> index_;
};

struct GgufFile {
  // A first part (name-00001-of-0000N.gguf) opens all its parts.
  explicit GgufFile(const std::string& path);
  GgufFile(GgufMetadata metadata, TensorFile tensors) : metadata_(std::move(metadata)), tensors_(std::move(tensors)) {}   // one not written yet
  // From memory, one part; see SafetensorsFile.
  GgufFile(std::span<const std::byte> bytes, const std::string& name, std::shared_ptr<const void> owner = nullptr);

  uint32_t version() const { return version_; }
  const GgufMetadata& metadata() const { return metadata_; }
  const TensorFile& tensors() const { return tensors_; }
  std::vector<std::string> names() const { return tensors_.names(); }
  Tensor tensor(std::string_view name) const { return tensors_.at(name); }

 private:
  uint32_t version_ = 3;
  GgufMetadata metadata_;
  TensorFile tensors_;
};

bool is_gguf(const std::string& path);              // by its first bytes

// Version 3, atomic, streaming, in the order given; general.alignment (32 where it is not there) is obeyed.
void write_gguf(const std::string& path, const GgufMetadata& metadata, const std::vector<TensorSource>& tensors);
void write_gguf(const std::string& path, const GgufMetadata& metadata, std::span<const NamedTensor> tensors);

}  // namespace headrace
