// Values of JSON and GGUF to fields: a real number without a fraction is an integer, since writers differ; what is missing is listed at once.
#include "nn/config.h"

namespace headrace {

bool read_value(const Value& value, bool& out) {
  const bool* b = value.get<bool>();
  if (b) out = *b;
  return b != nullptr;
}
bool read_value(const Value& value, int64_t& out) {
  if (const int64_t* i = value.get<int64_t>()) return out = *i, true;
  const double* d = value.get<double>();
  if (!d || *d != std::floor(*d) || std::abs(*d) > 9e15) return false;
  return out = static_cast<int64_t>(*d), true;
}
bool read_value(const Value& value, int& out) {
  int64_t i;
  if (!read_value(value, i) || i < std::numeric_limits<int>::min() || i > std::numeric_limits<int>::max()) return false;
  return out = static_cast<int>(i), true;
}
bool read_value(const Value& value, double& out) {
  if (const int64_t* i = value.get<int64_t>()) return out = static_cast<double>(*i), true;
  const double* d = value.get<double>();
  if (d) out = *d;
  return d != nullptr;
}
bool read_value(const Value& value, float& out) {
  double d;
  if (!read_value(value, d)) return false;
  return out = static_cast<float>(d), true;
}
bool read_value(const Value& value, std::string& out) {
  const std::string* s = value.get<std::string>();
  if (s) out = *s;
  return s != nullptr;
}
bool read_value(const Value& value, Value& out) { return out = value, true; }

void ConfigReader::finish() const {
  if (missing_.empty() && wrong_.empty()) return;
  std::string message = file_ + ":";
  for (size_t i = 0; i < missing_.size(); ++i) message += (i ? ", " : " missing keys: ") + missing_[i];
  for (size_t i = 0; i < wrong_.size(); ++i) message += (i ? ", " : missing_.empty() ? " wrong values: " : "; wrong values: ") + wrong_[i];
  fail(message);
}

void check_size(const std::string& file, const char* key, int64_t n, int64_t limit) {
  expect(n >= 1 && n <= limit, file, ": ", key, " = ", n, " is not in 1..", limit);
}

}  // namespace headrace
