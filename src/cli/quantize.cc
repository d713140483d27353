// headrace quantize: progress by bytes read, and one line for each kind of row that the type's blocks do not divide.
#include <fmt/core.h>

#include <map>

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "run/export_gguf.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string in, out, type = "Q4_K";
};

// Tensors that fell back, by the width of their rows and what they are stored as.
struct Fallbacks {
  std::map<std::pair<int64_t, DType>, std::vector<std::string>> all;

  void print(const std::string& type) const {
    for (const auto& [key, names] : all)
      fmt::print(stderr, "rows of {} do not fit the blocks of {}: {} tensors are stored as {} ({}{})\n", key.first, type, names.size(),
          name(key.second), names[0],
                 names.size() > 1 ? ", ..." : "");
  }
  Array json() const {
    Array list;
    for (const auto& [key, names] : all) list.push_back(Object{{"width", key.first}, {"stored_as", name(key.second)},
        {"tensors", Array(names.begin(), names.end())}});
    return list;
  }
};

int act(const Options& o) {
  o.common.apply();
  const DType type = quantised_type(o.type);
  const std::string in = model_path(o.in);
  check_output(o.out, {in});
  size_t all = 0, before = 0, after = 0;
  int64_t tensors = 0;
  for (const auto& [name, t] : open_tensors(in)) all += t.bytes();
  Exported made;
  Fallbacks fallbacks;
  std::map<DType, int64_t> again;                  // tensors that were in blocks of another type before
  Clock clock;
  {
    Progress progress("quantize", static_cast<double>(all) / 1e6, "MB");
    made = quantise_model(in, o.out, type, assets_folder(), [&](const QuantisedTensor& t) {
      if (t.fell_back) fallbacks.all[{t.shape[-1], t.to}].push_back(t.name);
      if (is_block(t.from) && is_block(t.to) && t.from != t.to) ++again[t.from];
      progress.at(static_cast<double>(before) / 1e6);
      before += t.from_bytes, after += t.to_bytes, ++tensors;
    });
  }
  fallbacks.print(o.type);
  Object requantised;
  for (const auto& [from, n] : again) {
    requantised[name(from)] = n;
    fmt::print(stderr, "{}: {} tensors were {} already: rounded twice, they are worse than from the original\n", in, n, name(from));
  }
  if (!made.tokenizer) fmt::print(stderr, "{}: has no tokenizer; the new file has none either\n", in);
  if (made.own) fmt::print(stderr, "{}: GGUF has no architecture for this family; headrace opens it, llama.cpp does not\n", o.out);
  if (o.common.json)
    print_json(Object{{"in", in}, {"out", o.out}, {"type", o.type}, {"tensors", tensors}, {"bytes_before", static_cast<int64_t>(before)},
                      {"bytes_after", static_cast<int64_t>(after)}, {"fell_back", fallbacks.json()}, {"requantised", requantised},
                      {"opens_in_llamacpp", !made.own},
                      {"seconds", clock.seconds()}});
  else
    fmt::print("{}: {} tensors, {} -> {} in {:.1f} s\n", o.out, tensors, bytes_text(static_cast<double>(before)),
        bytes_text(static_cast<double>(after)), clock.seconds());
  return 0;
}

}  // namespace

void add_quantize(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("quantize", "store a model's matrices in another element type");
  c.about("Writes a GGUF file with the metadata and tokenizer of IN. Norms, biases, convolution taps, decays and other small tensors "
          "stay f32; the matrix before the logits gets at least 6 bits; rows that a format's blocks do not divide fall back, with a line "
          "that says so. llama.cpp opens the file too, except for families that it has no architecture for: Griffin and Hawk, RWKV 4 and 5, GLA, "
          "RetNet, HGRN2, linear attention and hybrids with them. Their files hold config.json and its names, and only headrace opens them.");
  c.argument("IN", o->in, "a .gguf, a folder (Hugging Face), an RWKV .pth or .safetensors, or the name of a model that ships");
  c.argument("OUT", o->out, "the .gguf to write");
  c.choice("--type", o->type,
      {"F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "Q3_K", "Q2_K"}, "the element type");
  o->common.add(c);
  c.example("headrace quantize stories260K stories.gguf --type F16", "a folder as one GGUF file that llama.cpp opens too");
  c.example("headrace quantize model.gguf small.gguf --type Q4_K", "about 5 bits for each weight");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
