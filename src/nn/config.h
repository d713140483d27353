// Configurations: a struct lists its fields once, in visit(v); the same list reads config.json (or GGUF metadata that
// was given the same names), writes it back, and prints it in `info`.
//
//   struct LlamaConfig {
//     int width, layers; float eps = 1e-6f;
//     void visit(auto& v) { v("hidden_size", width); v("num_hidden_layers", layers); v.optional("rms_norm_eps", eps); }
//   };
//   auto c = read_config<LlamaConfig>(value, "config.json");     // all missing keys and wrong types in one Error
#pragma once
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "nn/value.h"

namespace headrace {

// True when value could be stored; false on a wrong type or a number outside the type.
bool read_value(const Value& value, bool& out);
bool read_value(const Value& value, int& out);
bool read_value(const Value& value, int64_t& out);
bool read_value(const Value& value, float& out);
bool read_value(const Value& value, double& out);
bool read_value(const Value& value, std::string& out);
bool read_value(const Value& value, Value& out);
template <class T>
bool read_value(const Value& value, std::vector<T>& out) {
  const Array* a = value.get<Array>();
  if (!a) return false;
  out.clear();
  for (const Value& e : *a) {
    T x{};
    if (!read_value(e, x)) return false;
    out.push_back(std::move(x));
  }
  return true;
}
template <class T>
bool read_value(const Value& value, std::optional<T>& out) {
  T x{};
  if (!read_value(value, x)) return false;
  out = std::move(x);
  return true;
}

class ConfigReader {
 public:
  ConfigReader(const Value& root, std::string file) : root_(root), file_(std::move(file)) {}
  template <class T> void operator()(const char* key, T& field) { read(key, field, true); }
  template <class T> void optional(const char* key, T& field) { read(key, field, false); }
  void finish() const;                                  // throws with everything that was missing or wrong

 private:
  template <class T> void read(const char* key, T& field, bool required) {
    const Value* v = root_.find(key);
    if (!v) {
      if (required) missing_.push_back(key);
    } else if (!read_value(*v, field)) {
      wrong_.push_back(std::string(key) + " = " + to_json(*v).substr(0, 80));
    }
  }
  const Value& root_;
  std::string file_;
  std::vector<std::string> missing_, wrong_;
};

template <class C>
C read_config(const Value& root, const std::string& file) {
  C config{};
  ConfigReader reader(root, file);
  config.visit(reader);
  reader.finish();
  return config;
}

// A size from a file: 1 <= n <= limit, or Error that names the key.
void check_size(const std::string& file, const char* key, int64_t n, int64_t limit = int64_t{1} << 24);

}  // namespace headrace
