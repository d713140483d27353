// Readers of hostile bytes, by name. NAME_fuzz.cc gives one to libFuzzer; tests/corpus_test.cc replays
// tests/fuzz/corpus/NAME/* (small seeds and past failures) and damaged fixtures in the ordinary tests. A reader returns
// or throws headrace::Error; anything else is a failure. A new one is a function, a line in the table, and a file of what it reads and:
//
//   #include "targets.h"
//   extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("NAME", data, size); }
//
// Build: CXX=clang++ cmake -S . -B build-fuzz -G Ninja -DHEADRACE_FUZZ=ON -DHEADRACE_SANITIZE=address,undefined -DHEADRACE_TESTS=OFF
// Run:   build-fuzz/NAME_fuzz CORPUS tests/fuzz/corpus/NAME -max_total_time=300 -rss_limit_mb=2048 -timeout=10
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "base/compress.h"
#include "base/error.h"
#include "base/file.h"
#include "io/gguf_dialect.h"
#include "io/pth.h"
#include "io/safetensors.h"
#include "io/shards.h"
#include "models/blueprint.h"
#include "nn/init.h"
#include "nn/value.h"
#include "run/gguf_vocabulary.h"
#include "run/load.h"
#include "run/op.h"
#include "run/session.h"
#include "run/state_file.h"
#include "text/bpe_train.h"
#include "text/chat.h"
#include "train/recipe.h"
#include "train/saved_run.h"

namespace headrace::fuzz {

// Reads every byte of every tensor, so that the address sanitizer sees a view that leaves its file.
inline void touch(const Tensor& t) {
  volatile uint8_t seen = 0;
  for (size_t i = 0; i < t.bytes(); ++i) seen = seen ^ static_cast<uint8_t>(t.data<std::byte>()[i]);
}
template <class Tensors>
void touch(const Tensors& file) {
  for (const auto& [name, t] : file) touch(t);
}
inline std::span<const std::byte> bytes_of(std::string_view s) { return std::as_bytes(std::span(s.data(), s.size())); }

inline void safetensors(std::string_view s) { touch(SafetensorsFile(bytes_of(s), "file").tensors()); }
inline void gguf(std::string_view s) { touch(GgufFile(bytes_of(s), "file").tensors()); }
inline void pth(std::string_view s) { touch(read_pth(bytes_of(s), "file")); }

// A plan of the model: configuration, names and shapes, nothing loaded.
inline void build(const Value& config, std::function<Tensor(const std::string&)> find, std::function<std::vector<std::string>()> names) {
  auto source = std::make_shared<Source>();
  source->file = "file";
  source->device = Device::meta;
  source->find = std::move(find);
  source->names = std::move(names);
  build_model(config, source, "file");
}
inline void gguf_model(std::string_view s) {
  GgufFile file(bytes_of(s), "file");
  auto model = std::make_shared<GgufModel>(std::move(file));
  build(model->config(), [model](const std::string& name) { return model->find(name); }, [model] { return model->names(); });
}
inline void config(std::string_view s) {
  build(parse_json(s, "file"), [](const std::string&) { return Tensor{}; }, [] { return std::vector<std::string>{}; });
}

// What is read prints, and reads again as the same; a stack of usual size is planned.
inline void blueprint(std::string_view s) {
  const Blueprint b = parse_blueprint(s);
  const std::string text = print(b);
  if (print(parse_blueprint(text)) != text) std::abort();
  if (b.header.width > 4096) return;
  auto source = initialised({.device = Device::meta});
  if (std::count(text.begin(), text.end(), '*') == 0) (void)build_blueprint(b, source);
}

// What is read has all keys, and is no other than itself.
inline void recipe(std::string_view s) {
  const Recipe r = parse_recipe(s, "file");
  if (!differences(to_value(r), to_value(r)).empty()) std::abort();
}

// A tokenizer that was made must work: what it makes of a text are ids of its own, and they have a text again.
inline void use(const Tokenizer& t, std::string_view given) {
  const std::string sample = "Hello  wo\u0301rld, don't 12345 \t\n\u4f60\u597d \U0001F642 <|im_end|></s> \u2581a\uFB01\xff\xe2\x82 ==== ";
  for (const std::string& text : {sample, std::string(given.substr(0, 512))})
    for (const bool plain : {false, true}) {
      const std::vector<int> ids = t.encode(text, {.add_special = !plain, .parse_special = !plain, .keep_broken_bytes = plain});
      (void)t.decode(ids, {.skip_special = plain});
      StreamDecoder stream(t);
      for (int id : ids) (void)stream.next(id);
      (void)stream.flush();
    }
}
inline void tokenizer_json(std::string_view s) { use(naming("file", [&] { return Tokenizer::from_tokenizer_json(s, "file"); }), s); }
inline void tokenizer_gguf(std::string_view s) {
  const GgufFile file(bytes_of(s), "file");
  if (const auto vocabulary = gguf_vocabulary(file.metadata())) use(naming("file", [&] { return Tokenizer::from_vocabulary(*vocabulary); }), s);
}
inline void sentencepiece(std::string_view s) { use(naming("file", [&] { return Tokenizer::from_sentencepiece_model(s); }), s); }
inline void rwkv_vocabulary(std::string_view s) { use(Tokenizer::from_rwkv_world(s, "file"), s); }
inline void llama2c(std::string_view s) { use(naming("file", [&] { return Tokenizer::from_llama2c(s); }), s); }
// vocab.json, a line of three dashes, merges.txt.
inline void gpt2_files(std::string_view s) {
  const size_t cut = std::min(s.find("\n---\n"), s.size());
  const std::string_view merges = s.substr(std::min(cut + 5, s.size()));
  use(naming("file", [&] { return Tokenizer::from_gpt2_files(s.substr(0, cut), merges); }), merges);
}
// Beside a tokenizer.json that is sound.
inline void tokenizer_config(std::string_view s) {
  static const std::string sound = read_text(HEADRACE_ROOT "/tests/fuzz/corpus/tokenizer_json/byte_level");
  use(naming("file", [&] { return Tokenizer::from_tokenizer_json(sound, "tokenizer.json", s); }), s);
}
inline void index_json(std::string_view s) { (void)shards_of(s, "file"); }
inline void zst(std::string_view s) { (void)decompress_zstd(s, "file", size_t{16} << 20); }
inline void chat_template(std::string_view s) {
  const Message messages[] = {
      {"system", "Be brief."},
      {"user", " caf\u00e9 <b> \n"},
      {"assistant", "", R"({"content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, 2.5, null, true]}}}]})"},
      {"tool", "42"},
      {"user", "", R"({"content": [{"type": "text", "text": "part"}]})"}};
  const ChatOptions options{.bos = "<s>",
                            .eos = "</s>",
                            .add_generation_prompt = true,
                            .tools = R"([{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {"type": "array"}}}}}])",
                            .variables = R"({"n": 7, "l": [3, 1, 2], "d": {"b": 1, "a": [1]}, "s": "Hello, W\u00f6rld"})",
                            .now = 1700000000,
                            .max_steps = 500'000,
                            .max_bytes = 32 << 20};
  (void)ChatTemplate(s).render(messages, options);
}

// A line "NAME FORM PARAMETERS", and the inputs as safetensors.
inline void op(std::string_view s) {
  const std::string_view line = s.substr(0, s.find('\n'));
  const size_t name = std::min(line.find(' '), line.size()), form = std::min(line.find(' ', name + 1), line.size());
  expect(form < line.size() && line.size() < s.size(), "file: wanted a line of name, form and parameters");
  const SafetensorsFile file(bytes_of(s.substr(line.size() + 1)), "file");
  touch(run_op(std::string(line.substr(0, name)), {file.tensors().begin(), file.tensors().end()}, parse_json(line.substr(form + 1), "file"),
               op_form_from_name(std::string(line.substr(name + 1, form - name - 1)))));
}
// A saved state, its checksum aside, in models that it may say it belongs to: described, compared, bound, and continued.
inline void state(std::string_view s) {
  static const Loaded models[] = {open_model(HEADRACE_ROOT "/tests/fixtures/models/llama"), open_model(HEADRACE_ROOT "/tests/fixtures/models/rwkv7"),
                                  open_blueprint("d=8 vocab=64 hyena(length=5, filter=4)")};
  const SavedState saved = read_state(bytes_of(s), "file", false);
  (void)differences(saved.state, State{});
  for (const Loaded& m : models) try {
    SavedState bound = saved;
    bound.model.hash = m.hash();
    bind_state(bound, identity(m), m.model.decoder, "file");
    (void)differences(saved.state, bound.state);
    const int32_t token = 1;
    feed(m.model.decoder, {&token, 1}, bound.state);
  } catch (const Error&) {
    if (&m == &models[2]) throw;
  }
}

// Documents of a run's data, read as batches to the end of an epoch and beyond.
inline void documents(std::string_view s, const std::string& name) {
  static const Recipe r = parse_recipe("[model]\nblueprint = \"d=4 attn\"\n[data]\ntrain = \"x\"\nlength = 7\nbatch = 2\n", "recipe");
  const Documents d = naming("file", [&] { return documents_of(s, name, r.data.train[0], r.data, Tokenizer::bytes(), 0); });
  (void)in_order({d}, r.data, 100);
  Stream stream({d}, r.data, 1);
  for (int64_t i = 0; i < 5; ++i)
    if (stream.next().tokens() != 14) std::abort();
}
inline void token_file(std::string_view s) { documents(s, "file.safetensors"); }
inline void json_lines(std::string_view s) { documents(s, "file.jsonl"); }

// A saved run of this recipe, and one step on from it. tests/fuzz/corpus/training_state/ has what `headrace train` saved.
inline constexpr const char* run_text = "one two three four five six seven\n<|endoftext|>\nthe cat sat on the mat\n<|endoftext|>\nand saw 12 birds\n";
inline constexpr const char* run_recipe = R"(
[model]
blueprint = "d=4  attn(heads=1, window=66) + gru"
[data]
train = ["text.txt"]
length = 8
batch = 2
carry = true
[train]
steps = 100
ema = 0.5
)";
inline void training_state(std::string_view s) {
  static const Recipe r = parse_recipe(run_recipe, "r.toml");
  const SafetensorsFile file(bytes_of(s), "file");
  (void)other_recipe(file, "file", r);
  static const Tokenizer words = Tokenizer::from_tokenizer_json(headrace::tokenizer_json(Merges{}), "tokenizer.json", tokenizer_config_json());
  Trainer trainer(new_learner(r.model.blueprint, words.size(), 1), r);
  Stream stream({documents_of(run_text, "text.txt", r.data.train[0], r.data, words, words.size() - 1)}, r.data, 1);
  (void)restore_run(file, "file", trainer, stream);
  naming("file", [&] {
    const Packed p = stream.next();
    return trainer.step({&p, 1}).loss;
  });
}

struct Target {
  const char* name;
  void (*read)(std::string_view bytes);
};
inline constexpr Target targets[] = {
    {"blueprint", blueprint},
    {"recipe", recipe},
    {"chat_template", chat_template},
    {"config", config},
    {"gguf", gguf},
    {"gguf_model", gguf_model},
    {"gpt2_files", gpt2_files},
    {"index_json", index_json},
    {"json_lines", json_lines},
    {"llama2c", llama2c},
    {"op", op},
    {"pth", pth},
    {"rwkv_vocabulary", rwkv_vocabulary},
    {"safetensors", safetensors},
    {"sentencepiece", sentencepiece},
    {"state", state},
    {"token_file", token_file},
    {"tokenizer_config", tokenizer_config},
    {"tokenizer_gguf", tokenizer_gguf},
    {"tokenizer_json", tokenizer_json},
    {"training_state", training_state},
    {"zst", zst},
};

inline int run(std::string_view name, const uint8_t* data, size_t size) {
  for (const Target& t : targets)
    if (name == t.name) {
      try {
        t.read({reinterpret_cast<const char*>(data), size});
      } catch (const Error&) {
      }
      return 0;
    }
  return -1;
}

}  // namespace headrace::fuzz
