// Saving and loading states (format: state_file.h). A file is held to the model: its hash must be the model's, each slot what the
// model makes of one token, and one more token must find all that it reads.
#include "run/state_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "io/bytes.h"
#include "io/safetensors.h"
#include "run/session.h"

namespace headrace {
namespace {

constexpr const char* format_name = "headrace-state-1";
constexpr int64_t most_layers = 4096, most_tokens = int64_t{1} << 40, most_missing = int64_t{1} << 20,
                  most_meta = int64_t{1} << 16;      // tokens of a model's own before the first (Hymba)

// Slot names of a State are static strings; those of files are kept here, so few and short ones only.
const char* interned(const std::string& name, const std::string& where) {
  static std::mutex mutex;
  static std::set<std::string> names;
  std::lock_guard lock(mutex);
  auto it = names.find(name);
  if (it == names.end()) {
    expect(names.size() < 256, where, ": too many different slot names");
    it = names.insert(name).first;
  }
  return it->c_str();
}

bool plain_name(std::string_view s) {
  return !s.empty() && s.size() <= 32
      && std::all_of(s.begin(), s.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}
bool read_number(std::string_view s, int64_t& out) {
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
  return error == std::errc() && end == s.data() + s.size() && out >= 0;
}

struct SlotName {
  int64_t layer;
  std::string slot, part;                // part: "", "pages", "span"
};
bool parse(std::string_view name, SlotName& out) {
  if (!name.starts_with("layers.")) return false;
  name.remove_prefix(7);
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos || !read_number(name.substr(0, dot), out.layer)) return false;
  name.remove_prefix(dot + 1);
  const size_t next = name.find('.');
  out.slot = name.substr(0, next);
  out.part = next == std::string_view::npos ? "" : name.substr(next + 1);
  return plain_name(out.slot) && (out.part.empty() || out.part == "pages" || out.part == "span");
}

std::vector<NamedTensor> tensors_of(const State& state, std::span<const int32_t> history) {
  std::vector<NamedTensor> all;
  for (size_t l = 0; l < state.layers.size(); ++l)
    for (int i = 0; i < State::slots_per_layer; ++i) {
      const char* name = state.layers[l].names[i];
      const SlotValue& v = state.layers[l].values[i];
      if (name == nullptr || (!v.value && v.pages.empty())) continue;
      const std::string key = text("layers.", l, ".", name);
      if (v.value) all.emplace_back(key, copy_to(v.value, Device::cpu).contiguous_or_copy());
      if (v.pages.empty()) continue;
      // Pages [begin, first) have left the window; those before them are of keys that stay in sight.
      const int64_t count = std::ssize(v.pages);
      int64_t begin = 0, at = 0;
      while (begin < count && v.pages[static_cast<size_t>(begin)]) ++begin;
      int64_t first = begin;
      while (first < count && !v.pages[static_cast<size_t>(first)]) ++first;
      if (begin == count) begin = first = 0;
      const int64_t kept = count - (first - begin), numbers = kept ? v.pages.back().count() : 0;
      Tensor pages = Tensor::empty({kept, numbers});
      for (const Tensor& p : v.pages)
        if (p) copy_bytes(pages.f32() + at++ * numbers, Device::cpu, p.raw(), p.device(), static_cast<size_t>(numbers) * sizeof(float));
      all.emplace_back(key + ".pages", pages);
      const int64_t span[] = {v.length, first, begin};
      all.emplace_back(key + ".span", Tensor::from(std::span<const int64_t>(span, begin > 0 ? 3 : 2), {begin > 0 ? 3 : 2}));
    }
  if (state.last_logits) all.emplace_back("last_logits", state.last_logits);
  if (!history.empty()) {
    std::vector<int64_t> wide(history.begin(), history.end());
    all.emplace_back("history", Tensor::from(std::span<const int64_t>(wide), {static_cast<int64_t>(wide.size())}));
  }
  return all;
}

uint64_t mix(uint64_t h, std::string_view s) { return hash_bytes(s.data(), s.size(), h); }
// Over everything: metadata but the checksum itself, then names, shapes and contents in the order of names.
std::string checksum_of(std::vector<NamedTensor> tensors, const SafetensorsFile::Metadata& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  uint64_t h = 0;
  for (const auto& [k, v] : metadata)
    if (k != "checksum") h = mix(mix(h, k), v);
  for (const auto& [name, t] : tensors) {
    h = mix(mix(h, name), text(t.dtype(), t.shape()));
    h = hash_bytes(t.raw(), t.bytes(), h);
  }
  return hash_text(h);
}

std::string taken(SafetensorsFile::Metadata& m, const char* key, const std::string& file) {
  auto it = m.find(key);
  expect(it != m.end(), file, ": metadata: wanted ", key, ", not found (is it a state that headrace saved?)");
  std::string v = std::move(it->second);
  m.erase(it);
  return v;
}

void read_slot(State& state, const SlotName& n, const TensorFile& tensors, const std::string& name, const Tensor& t, const std::string& file,
    int64_t& missing) {
  const std::string where = text(file, ": tensor ", shown(name));
  expect(n.layer < most_layers, where, ": wanted a layer below ", most_layers);
  if (n.part == "span") {
    expect(tensors.find(name.substr(0, name.size() - 5) + ".pages"), where, ": wanted pages beside it, not found");
    return;
  }
  expect(t.dtype() == DType::f32, where, ": wanted f32, found ", t.dtype());
  if (static_cast<int64_t>(state.layers.size()) <= n.layer) state.layers.resize(static_cast<size_t>(n.layer) + 1);
  SlotValue& v = state.layers[static_cast<size_t>(n.layer)].at(interned(n.slot, where));
  if (n.part.empty()) {
    expect(t.count() > 0, where, ": wanted numbers, found ", t.shape());
    v.value = t.contiguous_copy();                 // the file is mapped read-only, a state is written in place
    return;
  }
  const Tensor* span = tensors.find(name.substr(0, name.size() - 6) + ".span");
  expect(span && span->dtype() == DType::i64 && (span->shape() == Shape({2}) || span->shape() == Shape({3})), where,
         ": wanted i64 [2] or [3] as span beside it");
  const int64_t length = span->data<int64_t>()[0], first = span->data<int64_t>()[1], begin = span->count() > 2 ? span->data<int64_t>()[2] : 0;
  expect(length >= state.tokens && length - state.tokens <= most_meta, where, ": wanted keys of ", state.tokens, " tokens, found ", length);
  const int64_t all = (length + page_tokens - 1) / page_tokens;
  expect(t.rank() == 2 && begin >= 0 && begin <= first && first <= all && t.dim(0) == all - (first - begin) && (t.dim(0) == 0 || t.dim(1) > 0),
         where, ": wanted ", all, " pages less ", first - begin, ", found ", t.shape());
  missing += first - begin;
  expect(missing <= most_missing && (first == 0 || t.dim(0) > 0), where, ": wanted at most ", most_missing, " pages left out, found more");
  v.length = length;
  v.pages.assign(static_cast<size_t>(all), Tensor{});
  for (int64_t p = 0; p < t.dim(0); ++p) v.pages[static_cast<size_t>(p < begin ? p : p + first - begin)] = t[p].contiguous_copy();
}

SavedState read(const SafetensorsFile& f, const std::string& file, bool verify) {
  SavedState s;
  auto m = f.metadata();
  const std::string format = taken(m, "format", file);
  expect(format == format_name, file, ": format: wanted ", format_name, ", found ", shown(format));
  const std::string found = verify ? checksum_of(f.tensors().tensors(), f.metadata()) : "";
  s.checksum = taken(m, "checksum", file);
  expect(!verify || s.checksum == found, file, ": checksum: wanted ", shown(s.checksum), ", found ", found, "; the file was changed or is damaged");
  s.model = {taken(m, "model", file), taken(m, "family", file), taken(m, "hash", file), taken(m, "blueprint", file)};
  const std::string dtype = taken(m, "dtype", file), tokens = taken(m, "tokens", file);
  expect(dtype == "f32", file, ": dtype: wanted f32, found ", shown(dtype));
  expect(read_number(tokens, s.state.tokens) && s.state.tokens <= most_tokens, file, ": tokens: wanted a count, found ", shown(tokens));
  s.notes = std::move(m);
  int64_t missing = 0;                             // pages left out cost memory too
  for (const auto& [name, t] : f.tensors()) {
    SlotName n;
    if (name == "last_logits") {
      expect(t.dtype() == DType::f32 && t.rank() == 1 && t.count() > 0, file, ": last_logits: wanted f32 [vocab], found ", t.dtype(), " ", t.shape());
      s.state.last_logits = t.contiguous_copy();
    } else if (name == "history") {
      expect(t.dtype() == DType::i64 && t.rank() == 1 && t.count() == s.state.tokens, file, ": history: wanted i64 [", s.state.tokens, "], found ",
             t.dtype(), " ", t.shape());
      for (int64_t i = 0; i < t.count(); ++i) {
        const int64_t id = t.data<int64_t>()[i];
        expect(id >= 0 && id <= INT32_MAX, file, ": history: token ", i, " is ", id);
        s.history.push_back(static_cast<int32_t>(id));
      }
    } else {
      expect(parse(name, n), file, ": tensor ", shown(name), ": wanted layers.L.SLOT, last_logits or history");
      read_slot(s.state, n, f.tensors(), name, t, file, missing);
    }
  }
  return s;
}

// Slots as `name -> what it holds`, to hold a file's against a model's.
std::string described(const SlotValue& v) {
  if (v.value) return text(v.value.shape());
  return v.pages.empty() || !v.pages.back() ? "nothing" : text("pages of ", v.pages.back().count());
}

}  // namespace

std::string hash_text(uint64_t hash) {
  std::string s(16, '0');
  for (int i = 15; i >= 0; --i, hash >>= 4) s[i] = "0123456789abcdef"[hash & 15];
  return s;
}
// Words of 8 bytes, each multiplied and folded (as in wyhash): against accidents and mix-ups, not against forgers.
uint64_t hash_bytes(const void* data, size_t bytes, uint64_t seed) {
  const auto fold = [](uint64_t a, uint64_t b) {
    const auto p = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(p) ^ static_cast<uint64_t>(p >> 64);
  };
  uint64_t h = fold(seed ^ 0x9E3779B97F4A7C15u, bytes ^ 0xA0761D6478BD642Fu);
  const auto* p = static_cast<const unsigned char*>(data);
  for (; bytes > 0;) {
    uint64_t w = 0;
    const size_t n = std::min<size_t>(bytes, 8);
    std::memcpy(&w, p, n);
    h = fold(h ^ w ^ 0xE7037ED1A0B428DBu, 0x8EBC6AF09C88C6E3u ^ n) + 0x589965CC75374CC3u;
    p += n, bytes -= n;
  }
  return h;
}

void save_state(const std::string& path, const State& state, const ModelIdentity& model, std::span<const int32_t> history,
                const std::map<std::string, std::string>& notes) {
  expect(history.empty() || static_cast<int64_t>(history.size()) == state.tokens, path, ": a history of ", history.size(),
      " tokens for a state of ", state.tokens);
  SafetensorsFile::Metadata m = notes;
  m["format"] = format_name, m["model"] = model.name, m["family"] = model.family, m["hash"] = model.hash, m["blueprint"] = model.blueprint;
  m["tokens"] = text(state.tokens), m["dtype"] = "f32";
  m.erase("checksum");
  const std::vector<NamedTensor> tensors = tensors_of(state, history);
  m["checksum"] = checksum_of(tensors, m);
  write_safetensors(path, tensors, m);
}

SavedState read_state(const std::string& path) { return read(SafetensorsFile(path), path, true); }
SavedState read_state(std::span<const std::byte> bytes, const std::string& name, bool verify) {
  return read(SafetensorsFile(bytes, name), name, verify);
}

void bind_state(SavedState& saved, const ModelIdentity& model, const Decoder& decoder, const std::string& file) {
  // A tuned state fits the model that it was tuned in as well as the one it was saved with: their weights are the same, in other files.
  const auto tuned = saved.notes.find(tuned_in_note);
  const bool fits = saved.model.hash == model.hash || (saved.state.tokens == 0 && tuned != saved.notes.end() && tuned->second == model.hash);
  expect(fits, file, ": this state belongs to ", shown(saved.model.name), " (", shown(saved.model.family), ", hash ",
      shown(saved.model.hash),
         "), not to ", model.name, " (", model.family, ", hash ", model.hash, ")");
  if (saved.state.tokens == 0) return bind_beginning(saved.state, decoder, file);
  State wanted;                                    // what this model's state looks like, from one token
  const int32_t token = 0;
  feed(decoder, {&token, 1}, wanted);
  State& s = saved.state;
  expect(s.layers.size() == wanted.layers.size(), file, ": wanted the state of ", wanted.layers.size(), " layers, found ", s.layers.size());
  expect(!s.last_logits || s.last_logits.count() == decoder.vocab, file, ": last_logits: wanted ", decoder.vocab, " numbers, found ", s.last_logits
      ? s.last_logits.count() : 0);
  check_tokens(saved.history, decoder.vocab);
  for (size_t l = 0; l < s.layers.size(); ++l) {
    State::Layer ordered;                          // slots in the model's order, under its own names
    for (int i = 0; i < State::slots_per_layer; ++i) {
      const char* name = wanted.layers[l].names[i];
      if (name == nullptr) continue;
      SlotValue& has = s.layers[l].at(interned(name, file));
      const std::string want = described(wanted.layers[l].values[i]), found = described(has);
      expect(want == found, file, ": layers.", l, ".", name, ": wanted ", want, ", found ", found);
      SlotValue& v = ordered.at(name);
      v.length = has.length;
      expect(has.pages.empty() || has.length == s.tokens + decoder.meta_tokens(), file, ": layers.", l, ".", name, ": wanted keys of ",
             s.tokens + decoder.meta_tokens(), " tokens, found ", has.length);
      if (has.value) v.value = copy_to(has.value, decoder.embed.device());
      for (const Tensor& p : has.pages) v.pages.push_back(p ? copy_to(p, decoder.embed.device()) : Tensor{});
    }
    for (const char* name : s.layers[l].names) {
      auto same = [name](const char* n) { return n && std::strcmp(n, name) == 0; };
      if (name && std::none_of(ordered.names.begin(), ordered.names.end(), same)) fail(file, ": layers.", l, ".", name,
          ": the model has no such slot");
    }
    s.layers[l] = std::move(ordered);
  }
  if (decoder.positions && s.tokens >= decoder.positions.dim(0)) return;   // nothing can follow
  State next = s;                                  // keys that a window sees, a time inside its ring: one more token asks for them all
  naming(file, [&] { return feed(decoder, {&token, 1}, next); });
}

void bind_beginning(State& s, const Decoder& decoder, const std::string& file) {
  expect(s.tokens == 0, file, ": has read ", s.tokens, " tokens, wanted a state to begin with");
  State wanted;
  const int32_t token = 0;
  feed(decoder, {&token, 1}, wanted);
  State begins;
  expect(s.layers.size() <= wanted.layers.size(), file, ": wanted the state of ", wanted.layers.size(), " layers, found ", s.layers.size());
  begins.layers.resize(s.layers.size());
  for (size_t l = 0; l < s.layers.size(); ++l)
    for (int i = 0; i < State::slots_per_layer; ++i) {
      const char* name = s.layers[l].names[i];
      const SlotValue& has = s.layers[l].values[i];
      if (!name || !has.value) continue;
      const auto& names = wanted.layers[l].names;
      const auto own = std::find_if(names.begin(), names.end(), [&](const char* n) { return n && std::strcmp(n, name) == 0; });
      expect(own != names.end(), file, ": layers.", l, ".", name, ": the model has no such slot");
      const SlotValue& slot = wanted.layers[l].values[static_cast<size_t>(own - names.begin())];
      expect(slot.value && slot.value.shape() == has.value.shape(), file, ": layers.", l, ".", name, ": wanted ", described(slot), ", found ",
             described(has));
      begins.layers[l].at(*own).value = copy_to(has.value, decoder.embed.device());
    }
  if (std::none_of(begins.layers.begin(), begins.layers.end(), [](const State::Layer& l) { return l.names[0] != nullptr; })) begins.layers.clear();
  s = std::move(begins);
}

namespace {
void compare(const Tensor& a, const Tensor& b, SlotDifference& d, double& squares, double& norm) {
  Tensor x = copy_to(a, Device::cpu).contiguous_or_copy(), y = copy_to(b, Device::cpu).contiguous_or_copy();
  d.equal = d.equal && std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
  d.compared += x.count();
  for (int64_t i = 0; i < x.count(); ++i) {
    double e = std::abs(static_cast<double>(x.f32()[i]) - y.f32()[i]);
    if (std::isnan(e)) e = std::memcmp(x.f32() + i, y.f32() + i, sizeof(float)) == 0 ? 0 : std::numeric_limits<double>::infinity();
    d.worst = std::max(d.worst, e);
    squares += e * e;
    if (std::isfinite(x.f32()[i])) norm += static_cast<double>(x.f32()[i]) * x.f32()[i];
  }
}
SlotDifference difference(int layer, std::string name, const SlotValue& a, const SlotValue& b) {
  SlotDifference d{layer, std::move(name), described(a) == described(b) && a.length == b.length, 0, 0, 0, ""};
  if (a.length == 0 && b.length == 0 && !d.equal) d.note = text(described(a), " and ", described(b));
  else if (!d.equal) d.note = text(described(a), " of ", a.length, " tokens and ", described(b), " of ", b.length);
  if (described(a) != described(b)) return d;
  double squares = 0, norm = 0;
  if (a.value) compare(a.value, b.value, d, squares, norm);
  const size_t pages = d.equal ? a.pages.size() : static_cast<size_t>(std::min(a.length, b.length) / page_tokens);
  for (size_t p = 0; p < std::min({pages, a.pages.size(), b.pages.size()}); ++p) {
    d.equal = d.equal && static_cast<bool>(a.pages[p]) == static_cast<bool>(b.pages[p]);
    if (a.pages[p] && b.pages[p]) compare(a.pages[p], b.pages[p], d, squares, norm);
  }
  d.relative = squares == 0 ? 0 : std::sqrt(squares / std::max(norm, 1e-300));
  return d;
}
}  // namespace

std::vector<SlotDifference> differences(const State& a, const State& b) {
  std::vector<SlotDifference> all;
  for (size_t l = 0; l < std::max(a.layers.size(), b.layers.size()); ++l) {
    State::Layer x = l < a.layers.size() ? a.layers[l] : State::Layer{}, y = l < b.layers.size() ? b.layers[l] : State::Layer{};
    std::set<std::string> names;
    for (const auto* layer : {&x, &y})
      for (const char* n : layer->names)
        if (n) names.insert(n);
    for (const auto& n : names) {
      auto value = [&](State::Layer& layer) {
        for (int i = 0; i < State::slots_per_layer; ++i)
          if (layer.names[i] && n == layer.names[i]) return layer.values[i];
        return SlotValue{};
      };
      all.push_back(difference(static_cast<int>(l), n, value(x), value(y)));
    }
  }
  if (a.last_logits || b.last_logits) all.push_back(difference(-1, "last_logits", {.value = a.last_logits}, {.value = b.last_logits}));
  return all;
}

}  // namespace headrace
