// Opening a model: what the path holds decides the reader, the reader's names and config the family; a fingerprint says which checkpoint it was.
#include "run/load.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "io/gguf_dialect.h"
#include "io/tensor_file.h"
#include "models/blueprint.h"
#include "models/named_blueprints.h"
#include "models/rope.h"
#include "nn/init.h"
#include "ops/kernels.h"
#include "run/gguf_vocabulary.h"
#include "run/open_tokenizer.h"
#include "text/unicode.h"

namespace headrace {
namespace {

std::string beside(const std::string& path, const char* name) { return path + "/" + name; }

// The tokenizer of a Hugging Face folder, where there is one.
void read_tokenizer(const std::string& folder, Loaded& loaded) {
  loaded.tokenizer = tokenizer_of_folder(folder);
  if (loaded.tokenizer) loaded.chat_template = loaded.tokenizer->chat_template();
  if (file_exists(beside(folder, "chat_template.jinja"))) loaded.chat_template = read_text(beside(folder, "chat_template.jinja"), size_t{1} << 20);
}

std::shared_ptr<Source> source_of(TensorFile file, const LoadOptions& options) {
  auto shared = std::make_shared<TensorFile>(std::move(file));
  auto s = std::make_shared<Source>();
  s->file = shared->path();
  s->device = options.device;
  s->plan_for = options.plan_for;
  s->pack = options.pack;
  s->find = [shared](const std::string& name) {
    const Tensor* t = shared->find(name);
    return t ? *t : Tensor{};
  };
  s->names = [shared] { return shared->names(); };
  return s;
}
std::shared_ptr<Source> source_of(std::shared_ptr<const GgufModel> gguf, const LoadOptions& options) {
  auto s = std::make_shared<Source>();
  s->file = gguf->file().metadata().path();
  s->device = options.device;
  s->plan_for = options.plan_for;
  s->pack = options.pack;
  s->find = [gguf](const std::string& name) { return gguf->find(name); };
  s->names = [gguf] { return gguf->names(); };
  return s;
}
size_t bytes_of_tensors(const TensorFile& file) {
  size_t n = 0;
  for (const auto& [name, t] : file) n += t.bytes();
  return n;
}

// One fine-tuned matrix makes another model, so every byte counts. The tensors keep their mapping; of what is read, nothing stays resident.
std::string fingerprint(const TensorFile& file, const std::string& config) {
  constexpr size_t block = size_t{4} << 20;
  uint64_t h = hash_bytes(config.data(), config.size());
  for (const auto& [name, stored] : file) {
    const std::string head = text(name, stored.dtype(), stored.shape());
    h = hash_bytes(head.data(), head.size(), h);
    const Tensor t = stored.contiguous_or_copy();
    for (size_t at = 0; at < t.bytes(); at += block) {
      const size_t n = std::min(block, t.bytes() - at);
      h = hash_bytes(t.data<std::byte>() + at, n, h);
      if (t.storage()->owner) release_pages(t.data<std::byte>() + at, n);
    }
  }
  return hash_text(h);
}
// The mappings that tensors view, from the first to the last of them: what was read of them leaves the resident set.
void release(const TensorFile& file) {
  std::map<const void*, std::pair<const std::byte*, const std::byte*>> mapped;
  for (const auto& [name, t] : file) {
    if (t.bytes() == 0 || !t.storage()->owner) continue;
    const auto* first = t.data<std::byte>();
    auto& [begin, end] = mapped.try_emplace(t.storage()->owner.get(), first, first).first->second;
    begin = std::min(begin, first), end = std::max(end, first + t.bytes());
  }
  for (const auto& [owner, range] : mapped) release_pages(range.first, static_cast<size_t>(range.second - range.first));
}

// Views of a mapped file cost nothing while they wait. Copies, of what lies unaligned or compressed, would: those are hashed at once.
std::function<std::string()> fingerprint_later(TensorFile file, const Value& config) {
  auto waits = [](const NamedTensor& t) { return t.second.bytes() == 0 || t.second.storage()->owner; };
  if (!std::all_of(file.begin(), file.end(), waits)) return [hash = fingerprint(file, to_json(config))] { return hash; };
  return [file = std::move(file), config = to_json(config)] { return fingerprint(file, config); };
}

TensorFile open_gguf(Loaded& loaded, const LoadOptions& options) {
  auto gguf = std::make_shared<const GgufModel>(GgufFile(loaded.path), options.device == Device::meta);
  const GgufMetadata& metadata = gguf->file().metadata();
  loaded.file_bytes = bytes_of_tensors(gguf->file().tensors());
  const Value config = for_context(gguf->config(), options.context, loaded.path);
  loaded.fingerprint = fingerprint_later(gguf->file().tensors(), config);
  loaded.source = source_of(gguf, options);
  loaded.model = build_model(config, loaded.source, loaded.path);
  if (metadata.has("general.name")) loaded.name = metadata.string("general.name");
  if (auto vocabulary = gguf_vocabulary(metadata))
    loaded.tokenizer = naming(loaded.path, [&] { return Tokenizer::from_vocabulary(*vocabulary); });
  if (loaded.tokenizer) loaded.chat_template = loaded.tokenizer->chat_template();
  return gguf->file().tensors();
}

}  // namespace

const std::string& Loaded::hash() const {
  if (known_hash.empty()) known_hash = fingerprint();
  return known_hash;
}
std::string Loaded::piece(int32_t id) const { return tokenizer && id >= 0 && id < tokenizer->size() ? tokenizer->piece(id) : std::string(); }
ModelIdentity identity(const Loaded& m) { return {replace_broken(m.name), m.model.family, m.hash(), blueprint(m.model)}; }

Value read_model_config(const std::string& path) {
  if (is_gguf(path)) return GgufModel(GgufFile(path), true).config();
  std::string file = beside(path, "config.json");
  if (!is_folder(path) || !file_exists(file)) return Object{{"model_type", "rwkv"}};   // official RWKV checkpoints have none
  return parse_json(read_text(file, size_t{16} << 20), file);
}

Loaded open_blueprint(const std::string& text, LoadOptions o) {
  if (o.device != Device::meta) kernels(o.device);
  const NamedBlueprint* named = find_blueprint(text);
  const Blueprint b = parse_blueprint(named ? named->text : text);
  const std::string canonical = print(b), what = headrace::text(canonical, " seed ", o.seed, " jitter ", o.jitter);
  Loaded l{.path = canonical, .name = named ? text : "blueprint"};
  l.fingerprint = [what] { return hash_text(hash_bytes(what.data(), what.size())); };
  l.source = initialised({.seed = o.seed, .device = o.device, .pack = o.pack, .jitter = o.jitter});
  l.source->plan_for = o.plan_for;
  l.model = build_blueprint(b, l.source);
  return l;
}

Loaded open_model(const std::string& path, LoadOptions options) {
  expect(file_exists(path), path, ": no such file or folder");
  if (options.device != Device::meta) kernels(options.device);   // opens the device, or fails by name before anything is read
  Loaded loaded{.path = path, .name = std::filesystem::path(path).lexically_normal().filename().string()};
  TensorFile kept;                                 // views of what the fingerprint will read
  if (is_gguf(path)) {
    kept = open_gguf(loaded, options);
  } else {
    TensorFile tensors = open_tensors(path);
    loaded.file_bytes = bytes_of_tensors(tensors);
    const Value config = for_context(read_model_config(path), options.context, path);
    loaded.fingerprint = fingerprint_later(kept = tensors, config);
    loaded.source = source_of(std::move(tensors), options);
    const std::string parent = std::filesystem::path(path).parent_path().string(), folder = parent.empty() ? "." : parent;
    try {
      loaded.model = build_model(config, loaded.source, file_exists(beside(path, "config.json")) ? beside(path, "config.json") : path);
    } catch (const Error&) {
      if (is_folder(path) || !file_exists(beside(folder, "config.json"))) throw;
      fail(path, ": one file of a model whose config.json lies beside it; give the folder: ", folder);
    }
    if (is_folder(path)) read_tokenizer(path, loaded);
    if (!loaded.tokenizer && loaded.model.family.starts_with("rwkv"))
      loaded.tokenizer = tokenizer_of_rwkv(loaded.model.decoder.vocab, options.assets);
  }
  if (const std::string begins = beside(path, initial_state_file);
      options.initial_state && options.device != Device::meta && is_folder(path) && file_exists(begins)) {
    State s = read_state(begins).state;
    bind_beginning(s, loaded.model.decoder, begins);
    loaded.model.decoder.initial = std::move(s);
  }
  loaded.source->find = nullptr;                   // the mapped file may go
  loaded.source->names = nullptr;
  release(kept);
  return loaded;
}

}  // namespace headrace
