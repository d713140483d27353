// The reader holds a header to the format's rules before a tensor is made of it. The writer sorts by type, larger elements first,
// then by name, so that the same tensors give the same bytes and stay aligned.
#include "io/safetensors.h"
#include "io/shards.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "io/bytes.h"

namespace headrace {
namespace {

using nlohmann::json;
constexpr uint64_t largest_header = 100'000'000;   // as the reference implementation

struct Entry {
  std::string name, dtype;
  std::vector<int64_t> shape, offsets;
};

// The header as a stream of events: a tree of it could cost many times the file, and would hide keys that come twice.
class HeaderReader {
 public:
  HeaderReader(const std::string& file, std::vector<Entry>& entries, SafetensorsFile::Metadata& metadata)
      : file_(file), entries_(entries), metadata_(metadata) {}

  bool null() { return unexpected("null"); }
  bool boolean(bool) { return unexpected("a boolean"); }
  bool number_float(double, const std::string&) { return unexpected("a fraction"); }
  bool binary(json::binary_t&) { return unexpected("binary"); }
  bool number_integer(int64_t v) { return number(v); }
  bool number_unsigned(uint64_t v) {
    expect(v <= INT64_MAX, where(), ": wanted a number below 2^63, found ", v);
    return number(static_cast<int64_t>(v));
  }
  bool string(std::string& v) {
    if (at_ == metadata)
      expect(metadata_.emplace(key_, v).second, file_, ": metadata ", shown(key_), " is there twice");
    else if (at_ == entry && key_ == "dtype")
      entries_.back().dtype = v;
    else
      unexpected("a string");
    return true;
  }
  bool start_object(size_t) {
    if (at_ == nothing) return go(top);
    if (at_ != top) return unexpected("an object");
    if (key_ == "__metadata__") {
      expect(!had_metadata_, file_, ": __metadata__ is there twice");
      had_metadata_ = true;
      return go(metadata);
    }
    entries_.push_back({.name = key_});
    seen_ = 0;
    return go(entry);
  }
  bool key(std::string& k) {
    key_ = k;
    if (at_ == entry) {
      const int bit = k == "dtype" ? 1 : k == "shape" ? 2 : k == "data_offsets" ? 4 : 0;
      expect(bit != 0, where(), ": wanted dtype, shape, data_offsets, found ", shown(k));
      expect((seen_ & bit) == 0, where(), ": ", k, " is there twice");
      seen_ |= bit;
    }
    return true;
  }
  bool end_object() {
    if (at_ == entry)
      expect(seen_ == 7, where(), ": wanted dtype, shape, data_offsets, found no ", !(seen_ & 1) ? "dtype" : !(seen_ & 2) ? "shape" : "data_offsets");
    return go(at_ == top ? nothing : top);
  }
  bool start_array(size_t) {
    if (at_ == entry && key_ == "shape") return go(shape);
    if (at_ == entry && key_ == "data_offsets") return go(offsets);
    return unexpected("an array");
  }
  bool end_array() { return go(entry); }
  bool parse_error(size_t position, const std::string&, const json::exception&) {
    fail(file_, ": header: not valid JSON at byte ", position);
  }

 private:
  enum State { nothing, top, metadata, entry, shape, offsets };
  bool go(State s) {
    at_ = s;
    return true;
  }
  std::string where() const {
    return at_ >= entry ? text(file_, ": tensor ", shown(entries_.back().name)) : text(file_, ": header");
  }
  bool unexpected(const char* found) const {
    const char* wanted = at_ == nothing ? "an object" : at_ == top ? "an object for each name" : at_ == metadata ? "a string"
                         : at_ > entry ? "an integer" : key_ == "dtype" ? "a string" : "an array";
    fail(where(), at_ == nothing ? std::string() : ": " + shown(key_), ": wanted ", wanted, ", found ", found);
  }
  bool number(int64_t v) {
    if (at_ != shape && at_ != offsets) return unexpected("a number");
    auto& list = at_ == shape ? entries_.back().shape : entries_.back().offsets;
    const size_t most = at_ == shape ? Shape::max_rank : 2;
    expect(list.size() < most, where(), ": wanted at most ", most, " numbers in ", shown(key_), ", found more");
    expect(v >= 0, where(), ": ", shown(key_), ": wanted numbers of at least 0, found ", v);
    list.push_back(v);
    return true;
  }

  const std::string& file_;
  std::vector<Entry>& entries_;
  SafetensorsFile::Metadata& metadata_;
  State at_ = nothing;
  std::string key_;
  int seen_ = 0;
  bool had_metadata_ = false;
};

DType dtype_of(const std::string& name, const std::string& where) {
  std::string known;
  for (int i = 0; i < dtype_count; ++i) {
    const char* n = info(static_cast<DType>(i)).safetensors;
    if (n && name == n) return static_cast<DType>(i);
    if (n) known += std::string(known.empty() ? "" : " ") + n;
  }
  fail(where, ": wanted a dtype of ", known, ", found ", shown(name));
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) {
  MappedFile f(path);
  *this = SafetensorsFile(f.bytes(), path, f.share());
}

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, const std::string& name, std::shared_ptr<const void> owner) : tensors_(name) {
  expect(!bytes.empty(), name, ": the file is empty");
  ByteReader r{bytes, name};
  const auto length = r.read<uint64_t>("header length");
  expect(length <= largest_header, name, ": header length: wanted at most ", largest_header, ", found ", length);
  auto header = r.take(length, "header");
  const auto* begin = reinterpret_cast<const char*>(header.data());
  expect(length >= 2 && *begin == '{', name, ": header: wanted a JSON object, found ", shown({begin, std::min<size_t>(length, 8)}));
  std::vector<Entry> entries;
  HeaderReader reader(name, entries, metadata_);
  json::sax_parse(begin, begin + length, &reader);

  auto data = bytes.subspan(r.at);
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.offsets < b.offsets; });
  int64_t covered = 0;
  for (auto& e : entries) {
    const std::string where = text(name, ": tensor ", shown(e.name));
    const DType dtype = dtype_of(e.dtype, where);
    expect(e.offsets.size() == 2, where, ": data_offsets: wanted 2 numbers, found ", e.offsets.size());
    const int64_t first = e.offsets[0], last = e.offsets[1];
    const size_t size = checked_bytes(dtype, e.shape, where);
    expect(first <= last && static_cast<size_t>(last - first) == size, where, ": ", dtype, " ", Shape(e.shape), ": wanted ", size,
           " bytes, found data_offsets ", e.offsets);
    expect(static_cast<size_t>(last) <= data.size(), where, ": data_offsets ", e.offsets, ": wanted at most ", data.size(),
        " bytes of data (is the file cut off?)");
    expect(first == covered, where, ": data_offsets ", e.offsets, ": wanted a start at ", covered, ", ", first < covered ? "they overlap"
        : "they leave a hole");
    covered = last;
    tensors_.add(std::move(e.name), tensor_in(data.subspan(static_cast<size_t>(first), size), dtype, e.shape, owner));
  }
  expect(static_cast<size_t>(covered) == data.size(), name, ": wanted ", covered, " bytes of data, found ", data.size());
}

std::map<std::string, std::vector<std::string>> shards_of(std::string_view contents, const std::string& index) {
  auto shallow = [&](int depth, json::parse_event_t, json&) {
    expect(depth <= 8, index, ": nested too deeply");
    return true;
  };
  const json j = json::parse(contents, shallow, false);
  expect(j.is_object() && j.contains("weight_map") && j["weight_map"].is_object(), index, ": wanted an object with a weight_map");
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [name, shard] : j["weight_map"].items()) {
    expect(shard.is_string(), index, ": weight_map ", shown(name), ": wanted a file name");
    const std::string file = shard.get<std::string>();
    expect(!file.empty() && file.find('/') == std::string::npos && file.find('\0') == std::string::npos && file != "..", index, ": weight_map ",
        shown(name),
           ": wanted a file of this folder, found ", shown(file));
    shards[file].push_back(name);
  }
  return shards;
}

TensorFile read_safetensors_folder(const std::string& folder) {
  const std::string index = folder + "/model.safetensors.index.json";
  if (!file_exists(index)) return SafetensorsFile(folder + "/model.safetensors").tensors();
  TensorFile all(folder);
  for (const auto& [file, names] : shards_of(read_text(index, size_t{64} << 20), index)) {
    SafetensorsFile shard(folder + "/" + file);
    for (const auto& name : names) expect(shard.tensors().find(name), index, ": tensor ", shown(name), ": wanted in ", file, ", not found there");
    for (const auto& [name, t] : shard.tensors()) all.add(name, t);
  }
  return all;
}

void write_safetensors(const std::string& path, std::vector<TensorSource> tensors, const SafetensorsFile::Metadata& metadata) {
  auto rank = [](DType t) {
    static constexpr DType order[] = {DType::i64, DType::f64, DType::f32, DType::i32, DType::bf16, DType::f16, DType::i16, DType::i8, DType::u8,
        DType::boolean};
    return std::find(std::begin(order), std::end(order), t) - std::begin(order);
  };
  std::sort(tensors.begin(), tensors.end(), [&](const auto& a, const auto& b) {
    return rank(a.dtype) != rank(b.dtype) ? rank(a.dtype) < rank(b.dtype) : a.name < b.name;
  });
  std::string header = "{";
  auto quoted_name = [&](const std::string& s) {
    try {
      return json(s).dump();
    } catch (const json::exception&) {             // of bytes that are no UTF-8
      fail(path, ": wanted UTF-8 in names and metadata, found ", headrace::quoted(s));
    }
  };
  auto field = [&](const std::string& key) { header += (header.size() > 1 ? "," : "") + quoted_name(key) + ":"; };
  if (!metadata.empty()) {
    field("__metadata__");
    for (const auto& [key, value] : metadata) header += (header.back() == ':' ? "{" : ",") + quoted_name(key) + ":" + quoted_name(value);
    header += '}';
  }
  size_t at = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& t = tensors[i];
    expect(info(t.dtype).safetensors, path, ": tensor ", shown(t.name), ": safetensors has no ", t.dtype);
    expect(t.name != "__metadata__" && (i == 0 || t.name != tensors[i - 1].name), path, ": two tensors are named ", shown(t.name));
    const size_t size = bytes_of(t.dtype, t.shape.count());
    field(t.name);
    std::string dims;
    append(dims, t.shape);
    header += text("{\"dtype\":\"", info(t.dtype).safetensors, "\",\"shape\":", dims, ",\"data_offsets\":[", at, ",", at + size, "]}");
    at += size;
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  write_atomic(path, [&](const Sink& sink) {
    const uint64_t length = header.size();
    sink(&length, sizeof length);
    sink(header.data(), header.size());
    for (const auto& source : tensors) {
      Tensor t = made(source, path);
      sink(t.raw(), t.bytes());
    }
  });
}
void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors, const SafetensorsFile::Metadata& metadata) {
  write_safetensors(path, sources(tensors), metadata);
}

}  // namespace headrace
