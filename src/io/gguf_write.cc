// Writing GGUF, version 3: sizes are known from types and shapes, so the header with all offsets goes out before the first tensor
// is made, and tensors follow one at a time.
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "io/bytes.h"
#include "io/gguf.h"

namespace headrace {
namespace {

struct HeaderWriter {
  std::string bytes;

  template <class T> void put(T v) { bytes.append(reinterpret_cast<const char*>(&v), sizeof v); }
  void string(const std::string& s) {
    put(static_cast<uint64_t>(s.size()));
    bytes += s;
  }
  void scalar(GgufType t, uint64_t v) {
    switch (t) {
      case GgufType::u8: return put(static_cast<uint8_t>(v));
      case GgufType::u16: return put(static_cast<uint16_t>(v));
      case GgufType::u32: return put(static_cast<uint32_t>(v));
      default: return put(v);
    }
  }
  void scalar(GgufType t, int64_t v) {
    switch (t) {
      case GgufType::i8: return put(static_cast<int8_t>(v));
      case GgufType::i16: return put(static_cast<int16_t>(v));
      case GgufType::i32: return put(static_cast<int32_t>(v));
      default: return put(v);
    }
  }
  void scalar(GgufType t, double v) { t == GgufType::f32 ? put(static_cast<float>(v)) : put(v); }
  void scalar(GgufType, bool v) { put(static_cast<uint8_t>(v)); }
  void scalar(GgufType, const std::string& v) { string(v); }
  void scalar(GgufType, const GgufValue& v) { std::visit([&](const auto& x) { scalar(v.type, x); }, v.value); }
  void scalar(GgufType, const GgufArray& a) {
    put(static_cast<uint32_t>(a.element));
    put(static_cast<uint64_t>(a.size()));
    std::visit([&](const auto& list) {
      using Element = typename std::decay_t<decltype(list)>::value_type;
      for (const Element& v : list) scalar(a.element, v);
    }, a.values);
  }
};

size_t up(size_t n, size_t step) { return (n + step - 1) / step * step; }

}  // namespace

void write_gguf(const std::string& path, const GgufMetadata& metadata, const std::vector<TensorSource>& tensors) {
  const int64_t asked = metadata.integer("general.alignment", 32);
  expect(asked >= 1 && asked <= 1 << 20 && (asked & (asked - 1)) == 0, path, ": general.alignment: wanted a power of two, found ", asked);
  const auto alignment = static_cast<size_t>(asked);
  HeaderWriter h;
  h.bytes = "GGUF";
  h.put(uint32_t{3});
  h.put(static_cast<uint64_t>(tensors.size()));
  h.put(static_cast<uint64_t>(metadata.all().size()));
  for (const auto& [key, value] : metadata.all()) {
    h.string(key);
    h.put(static_cast<uint32_t>(value.type));
    h.scalar(value.type, value);
  }
  size_t at = 0;
  std::set<std::string> names;
  for (const auto& t : tensors) {
    expect(names.insert(t.name).second, path, ": two tensors are named ", shown(t.name));
    expect(info(t.dtype).gguf >= 0, path, ": tensor ", shown(t.name), ": GGUF has no ", t.dtype);
    expect(t.shape.rank() <= 4, path, ": tensor ", shown(t.name), ": GGUF holds at most 4 dimensions, not ", t.shape);
    h.string(t.name);
    h.put(static_cast<uint32_t>(t.shape.rank()));
    for (int d = t.shape.rank() - 1; d >= 0; --d) h.put(t.shape[d]);
    h.put(static_cast<uint32_t>(info(t.dtype).gguf));
    h.put(static_cast<uint64_t>(at));
    at += up(bytes_of(t.dtype, t.shape.count()), alignment);
  }
  h.bytes.resize(up(h.bytes.size(), alignment));
  const std::string padding(alignment, '\0');
  write_atomic(path, [&](const Sink& sink) {
    sink(h.bytes.data(), h.bytes.size());
    for (const auto& source : tensors) {
      Tensor t = made(source, path);
      sink(t.raw(), t.bytes());
      sink(padding.data(), up(t.bytes(), alignment) - t.bytes());
    }
  });
}
void write_gguf(const std::string& path, const GgufMetadata& metadata, std::span<const NamedTensor> tensors) {
  write_gguf(path, metadata, sources(tensors));
}

}  // namespace headrace
