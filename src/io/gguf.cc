// Reading GGUF. The writer is gguf_write.cc, the accessors of metadata gguf_metadata.cc.
#include "io/gguf.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "io/bytes.h"

namespace headrace {
namespace {

constexpr int deepest_array = 4;
constexpr size_t most_dims = 4;                    // ggml's
constexpr uint64_t longest_key = 65535;            // the specification's
constexpr int64_t largest_alignment = 1 << 20;

// The least that an element takes in the file: what a count is checked against before anything is allocated.
size_t least_bytes(GgufType t) {
  switch (t) {
    case GgufType::u8: case GgufType::i8: case GgufType::boolean: return 1;
    case GgufType::u16: case GgufType::i16: return 2;
    case GgufType::u32: case GgufType::i32: case GgufType::f32: return 4;
    case GgufType::u64: case GgufType::i64: case GgufType::f64: case GgufType::string: return 8;
    case GgufType::array: return 12;
  }
  return 1;
}

struct ValueReader {
  ByteReader& r;                                   // names the file by itself
  std::string key, where;                          // where: "<file>: <key>"

  GgufType type() {
    const auto t = r.read<uint32_t>(key);
    expect(t <= static_cast<uint32_t>(GgufType::f64), where, ": wanted a value type below 13, found ", t);
    return static_cast<GgufType>(t);
  }
  std::string string() { return r.string(r.read<uint64_t>(key), key); }
  bool boolean() {
    const auto b = r.read<uint8_t>(key);
    expect(b <= 1, where, ": wanted a boolean of 0 or 1, found ", b);
    return b == 1;
  }
  uint64_t whole(GgufType t) {
    switch (t) {
      case GgufType::u8: return r.read<uint8_t>(key);
      case GgufType::u16: return r.read<uint16_t>(key);
      case GgufType::u32: return r.read<uint32_t>(key);
      default: return r.read<uint64_t>(key);
    }
  }
  int64_t integer(GgufType t) {
    switch (t) {
      case GgufType::i8: return r.read<int8_t>(key);
      case GgufType::i16: return r.read<int16_t>(key);
      case GgufType::i32: return r.read<int32_t>(key);
      default: return r.read<int64_t>(key);
    }
  }
  double number(GgufType t) { return t == GgufType::f32 ? r.read<float>(key) : r.read<double>(key); }

  template <class T, class Read>
  std::vector<T> list(uint64_t count, Read read) {
    std::vector<T> all;
    all.reserve(static_cast<size_t>(count));
    for (uint64_t i = 0; i < count; ++i) all.push_back(read());
    return all;
  }
  GgufArray array(int depth) {
    expect(depth <= deepest_array, where, ": arrays are nested more than ", deepest_array, " deep");
    GgufArray a;
    a.element = type();
    const auto count = r.read<uint64_t>(key);
    expect(count <= r.left() / least_bytes(a.element), where, ": wanted an array of ", count, " ", name(a.element), ", found ", r.left(), " bytes");
    switch (a.element) {
      case GgufType::string: a.values = list<std::string>(count, [&] { return string(); }); break;
      case GgufType::boolean: a.values = list<bool>(count, [&] { return boolean(); }); break;
      case GgufType::array: a.values = list<GgufValue>(count, [&] { return value(GgufType::array, depth + 1); }); break;
      case GgufType::f32: case GgufType::f64: a.values = list<double>(count, [&] { return number(a.element); }); break;
      case GgufType::i8: case GgufType::i16: case GgufType::i32: case GgufType::i64:
        a.values = list<int64_t>(count, [&] { return integer(a.element); });
        break;
      default: a.values = list<uint64_t>(count, [&] { return whole(a.element); });
    }
    return a;
  }
  GgufValue value(GgufType t, int depth = 1) {
    GgufValue v;
    v.type = t;
    switch (t) {
      case GgufType::string: v.value = string(); break;
      case GgufType::boolean: v.value = boolean(); break;
      case GgufType::array: v.value = array(depth); break;
      case GgufType::f32: case GgufType::f64: v.value = number(t); break;
      case GgufType::i8: case GgufType::i16: case GgufType::i32: case GgufType::i64: v.value = integer(t); break;
      default: v.value = whole(t);
    }
    return v;
  }
};

DType dtype_of(uint32_t type, const std::string& where) {
  for (int i = 0; i < dtype_count; ++i)
    if (info(static_cast<DType>(i)).gguf == static_cast<int64_t>(type)) return static_cast<DType>(i);
  static constexpr std::pair<uint32_t, const char*> known[] = {
      {9, "q8_1"}, {15, "q8_k"}, {16, "iq2_xxs"}, {17, "iq2_xs"}, {18, "iq3_xxs"}, {19, "iq1_s"}, {21, "iq3_s"},
      {22, "iq2_s"}, {29, "iq1_m"}, {34, "tq1_0"}, {35, "tq2_0"}, {39, "mxfp4"}};
  for (auto [number, name] : known)
    if (number == type) fail(where, ": its type ", name, " is not supported");
  fail(where, ": wanted a ggml type, found ", type);
}

struct Entry {
  std::string name;
  DType dtype;
  std::vector<int64_t> dims;                       // PyTorch's order: the file's reversed
  uint64_t offset;
  size_t size;
};

Entry read_entry(ByteReader& r, const std::string& file, uint64_t number) {
  Entry e;
  const std::string ordinal = text("name of tensor ", number);
  const auto length = r.read<uint64_t>(ordinal);
  expect(length <= longest_key, file, ": ", ordinal, ": wanted at most ", longest_key, " bytes, found ", length);
  e.name = r.string(length, ordinal);
  const std::string here = text("tensor ", shown(e.name)), where = file + ": " + here;
  const auto rank = r.read<uint32_t>(here);
  expect(rank <= most_dims, where, ": wanted at most ", most_dims, " dimensions, found ", rank);
  for (uint32_t d = 0; d < rank; ++d) e.dims.insert(e.dims.begin(), r.read<int64_t>(here));
  e.dtype = dtype_of(r.read<uint32_t>(here), where);
  e.offset = r.read<uint64_t>(here);
  e.size = checked_bytes(e.dtype, e.dims, where);
  return e;
}

void check_layout(const std::vector<Entry>& entries, size_t data_bytes, int64_t alignment, const std::string& file) {
  std::vector<const Entry*> order;
  for (const auto& e : entries) {
    const auto where = [&] { return text(file, ": tensor ", shown(e.name)); };
    if (e.offset % static_cast<uint64_t>(alignment) != 0) fail(where(), ": wanted an offset in steps of ", alignment, ", found ", e.offset);
    if (e.offset > data_bytes || e.size > data_bytes - e.offset)
      fail(where(), ": wanted ", e.size, " bytes at offset ", e.offset, ", found ", data_bytes, " bytes of data (is the file cut off?)");
    if (e.size) order.push_back(&e);
  }
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i]->offset < order[i - 1]->offset + order[i - 1]->size)
      fail(file, ": tensors ", shown(order[i - 1]->name), " and ", shown(order[i]->name), " overlap at offset ", order[i]->offset);
}

}  // namespace

GgufFile::GgufFile(std::span<const std::byte> bytes, const std::string& name, std::shared_ptr<const void> owner)
    : metadata_(name), tensors_(name) {
  expect(!bytes.empty(), name, ": the file is empty");
  ByteReader r{bytes, name};
  const std::string magic = r.string(4, "magic");
  expect(magic == "GGUF", name, ": wanted a file that begins with GGUF, found ", shown(magic));
  version_ = r.read<uint32_t>("version");
  expect(version_ == 0 || (version_ & 0xffff) != 0, name, ": a big-endian GGUF file; convert it to little-endian first");
  expect(version_ == 2 || version_ == 3, name, ": wanted GGUF version 2 or 3, found ", version_);
  const auto tensor_count = r.read<uint64_t>("tensor count"), key_count = r.read<uint64_t>("key count");
  expect(key_count <= r.left() / 13, name, ": wanted ", key_count, " keys, found ", r.left(), " bytes");
  for (uint64_t i = 0; i < key_count; ++i) {
    const std::string ordinal = text("key ", i);
    const auto length = r.read<uint64_t>(ordinal);
    expect(length <= longest_key, name, ": ", ordinal, ": wanted at most ", longest_key, " bytes, found ", length);
    std::string key = r.string(length, ordinal);
    ValueReader values{r, shown(key), text(name, ": ", shown(key))};
    const GgufType type = values.type();
    metadata_.add(std::move(key), values.value(type));
  }
  const int64_t alignment = metadata_.integer("general.alignment", 32);
  expect(alignment >= 1 && alignment <= largest_alignment && (alignment & (alignment - 1)) == 0, name,
         ": general.alignment: wanted a power of two up to ", largest_alignment, ", found ", alignment);
  expect(tensor_count <= r.left() / 24, name, ": wanted ", tensor_count, " tensors, found ", r.left(), " bytes");
  std::vector<Entry> entries;
  entries.reserve(static_cast<size_t>(tensor_count));
  for (uint64_t i = 0; i < tensor_count; ++i) entries.push_back(read_entry(r, name, i));
  const size_t start = std::min(bytes.size(),
      (r.at + static_cast<size_t>(alignment) - 1) / static_cast<size_t>(alignment) * static_cast<size_t>(alignment));
  auto data = bytes.subspan(start);
  check_layout(entries, data.size(), alignment, name);
  for (auto& e : entries)
    tensors_.add(std::move(e.name), tensor_in(data.subspan(static_cast<size_t>(e.offset), e.size), e.dtype, e.dims, owner));
}

bool is_gguf(const std::string& path) {
  if (!file_exists(path) || is_folder(path)) return false;
  const MappedFile file(path);
  return file.bytes().size() >= 4 && std::memcmp(file.bytes().data(), "GGUF", 4) == 0;
}

GgufFile::GgufFile(const std::string& path) {
  MappedFile f(path);
  *this = GgufFile(f.bytes(), path, f.share());
  release_pages(f.bytes().data(), f.bytes().size());   // the metadata is read
  const int64_t parts = metadata_.integer("split.count", 1);
  if (parts <= 1) return;
  expect(parts <= 99999, path, ": split.count: wanted at most 99999, found ", parts);
  char ending[40];
  auto part_ending = [&](int64_t i) {
    std::snprintf(ending, sizeof ending, "-%05d-of-%05d.gguf", static_cast<int>(i + 1), static_cast<int>(parts));
    return std::string(ending);
  };
  const int64_t number = metadata_.integer("split.no");
  expect(number == 0, path, ": this is part ", number + 1, " of ", parts, "; open the first part");
  expect(path.ends_with(part_ending(0)), path, ": a first part of ", parts, ": wanted a name that ends with ", part_ending(0));
  const std::string stem = path.substr(0, path.size() - part_ending(0).size());
  for (int64_t i = 1; i < parts; ++i) {
    const std::string part_path = stem + part_ending(i);
    MappedFile part_file(part_path);
    GgufFile part(part_file.bytes(), part_path, part_file.share());
    expect(part.metadata_.integer("split.no") == i && part.metadata_.integer("split.count") == parts, part_path,
        ": split.no, split.count: wanted ", i, ", ", parts,
           ", found ", part.metadata_.integer("split.no"), ", ", part.metadata_.integer("split.count"));
    for (const auto& [name, t] : part.tensors_) tensors_.add(name, t);
  }
  const int64_t promised = metadata_.integer("split.tensors.count", static_cast<int64_t>(tensors_.size()));
  expect(promised == static_cast<int64_t>(tensors_.size()), path, ": split.tensors.count: wanted ", promised, " tensors in all parts, found ",
      tensors_.size());
}

}  // namespace headrace
