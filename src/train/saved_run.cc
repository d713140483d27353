// The run as tensors and notes of a safetensors file.
#include "train/saved_run.h"

#include <charconv>

#include "base/error.h"

namespace headrace {
namespace {

constexpr const char* format_name = "headrace-training-1";

const std::string& note(const SafetensorsFile& file, const std::string& path, const char* key) {
  const auto it = file.metadata().find(key);
  expect(it != file.metadata().end(), path, ": ", key, " is missing; it is no training state");
  return it->second;
}
double number(const SafetensorsFile& file, const std::string& path, const char* key) {
  const std::string& text = note(file, path, key);
  double v = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  expect(error == std::errc() && end == text.data() + text.size() && v >= 0 && v < 9e15, path, ": ", key, ": wanted a number, found ",
         quoted(text).substr(0, 60));
  return v;
}

}  // namespace

void save_run(const std::string& path, const Trainer& trainer, const Stream& data, const Recipe& recipe, const Spent& spent) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, t] : trainer.state()) tensors.emplace_back(name, copy_to(t, Device::cpu));
  const std::vector<int64_t> p = data.position();
  tensors.emplace_back("position", Tensor::from(p, {std::ssize(p)}));
  write_safetensors(path, tensors, {{"format", format_name}, {"recipe", to_json(to_value(recipe))}, {"step", text(trainer.steps())},
                                    {"tokens", text(spent.tokens)}, {"seconds", text(spent.seconds)}});
}

std::vector<std::string> other_recipe(const SafetensorsFile& file, const std::string& path, const Recipe& recipe) {
  const std::string& format = note(file, path, "format");
  expect(format == format_name, path, ": format ", quoted(format).substr(0, 60), ", wanted ", format_name);
  return differences(parse_json(note(file, path, "recipe"), path), to_value(recipe));
}

Spent restore_run(const SafetensorsFile& file, const std::string& path, Trainer& trainer, Stream& data) {
  naming(path, [&] {
    const Tensor position = file.tensor("position").contiguous_copy();
    expect(position.dtype() == DType::i64, "position: wanted i64, found ", position.dtype());
    data.seek({position.data<int64_t>(), static_cast<size_t>(position.count())});
    const auto find = [&](const std::string& name) { return file.tensor(name).contiguous_copy(); };
    trainer.restore(static_cast<int64_t>(number(file, path, "step")), find, file.names());
    return 0;
  });
  return {static_cast<int64_t>(number(file, path, "tokens")), number(file, path, "seconds")};
}

}  // namespace headrace
