// headrace distill from outside: what it writes opens in the other verbs and answers as before, within what it said, from a state of constant
// size; what it cannot do is one line.
#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "cli.h"
#include "io/safetensors.h"

namespace headrace {
namespace {

class DistillCli : public Cli {
 protected:
  // Of the logits of two models for the same tokens.
  double difference(const std::string& a, const std::string& b) const {
    tokens("in", {5, 3, 8, 1, 9, 2, 7, 4, 6, 0, 11, 13, 12, 10, 15, 14}, 1);
    EXPECT_EQ(run("logits " + a + " --tokens in --out a").code, 0) << run("logits " + a + " --tokens in --out a").err;
    EXPECT_EQ(run("logits " + b + " --tokens in --out b").code, 0) << run("logits " + b + " --tokens in --out b").err;
    const Tensor x = SafetensorsFile(at("a")).tensor("logits"), y = SafetensorsFile(at("b")).tensor("logits");
    double error = 0, size = 0;
    for (int64_t i = 0; i < x.count(); ++i) error += std::pow(x.f32()[i] - y.f32()[i], 2), size += std::pow(x.f32()[i], 2);
    return std::sqrt(error / size);
  }
};

TEST_F(DistillCli, ATrainedModelAnswersAsBeforeFromAConstantState) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "the cat sat on the mat and saw " + std::to_string(i * i) + " birds\n<|endoftext|>\n";
  write("text.txt", text);
  write("r.toml", R"toml(
[model]
blueprint = "d=16  2*(hyena(length=64, filter=16) + mlp(hidden=32)), (hyena(length=64, order=3, filter=16) | attn(heads=2))(fuse=sum)"
[data]
train = ["text.txt"]
length = 32
batch = 4
[train]
steps = 10
)toml");
  ASSERT_EQ(run("train r.toml").code, 0) << run("train r.toml").err;
  const Value j = json("distill r modal --modes 24 --json");
  EXPECT_EQ(string(j, "blueprint"), string(json("info modal --json"), "blueprint"));
  EXPECT_EQ(string(j, "blueprint"), "d=16 vocab=257  2*(hyena(length=64, filter=16, modes=24) + mlp(hidden=32)), "
                                    "(hyena(order=3, length=64, filter=16, modes=24) | attn(heads=2))(fuse=sum)");
  const Array& layers = *j.find("layers")->get<Array>();
  ASSERT_EQ(layers.size(), 3u);
  EXPECT_EQ(string(layers[2], "name"), "layers.2.0.0.hyena");
  EXPECT_EQ(number(layers[2], "filters"), 2 * 16);
  double worst = 0;
  for (const Value& l : layers) worst = std::max(worst, number(l, "relative_error"));
  EXPECT_LT(worst, 0.05);
  EXPECT_LT(difference("r", "modal"), 0.01 + worst);
  EXPECT_GT(number(j, "state_bytes_before"), number(j, "state_bytes_after"));
  EXPECT_EQ(number(j, "state_bytes_before") - number(j, "state_bytes_after"), 4 * 4 * 16 * (2 * 64 + 1 - 2 * 24));
  EXPECT_EQ(run("check modal --tokens 20").code, 0);
  const Ran before = run("run r -p 'the cat' -n 8 --temp 0"), after = run("run modal -p 'the cat' -n 8 --temp 0");
  EXPECT_EQ(after.code, 0) << after.err;
  EXPECT_EQ(after.out, before.out);
  write("more.toml", "[model]\ncheckpoint = \"modal\"\n[data]\ntrain = [\"text.txt\"]\nlength = 32\n[train]\nsteps = 1\n");
  EXPECT_EQ(run("train more.toml").code, 0) << run("train more.toml").err;
}

TEST_F(DistillCli, ABlueprintIsAModelToo) {
  const Ran r = run("distill hyena-tiny modal --modes 16");
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("layers.1.0.hyena: 64 filters of 128 taps, relative error "), r.out.npos) << r.out;
  EXPECT_NE(r.out.find("state of a sequence "), r.out.npos) << r.out;
  EXPECT_NE(r.err.find("has no tokenizer"), r.err.npos) << r.err;
  EXPECT_LT(difference("hyena-tiny", "modal"), 0.02);
}

TEST_F(DistillCli, WhatItCannotDoIsOneLine) {
  refused(run("distill mamba-tiny out --modes 4"), "no hyena with long filters");
  refused(run("distill 'd=16 vocab=9 hyena(modes=4)' out --modes 4"), "no hyena with long filters");
  refused(run("distill stories260K out --modes 4"), "llama has no long filters");
  refused(run("distill " + fixtures + "gguf/llama.gguf out --modes 4"), "wanted a folder with config.json");
  refused(run("distill nowhere out --modes 4"), "no such file or folder");
  EXPECT_FALSE(file_exists(at("out")));
  one_line(run("distill hyena-tiny out"), 2, "--modes");
  one_line(run("distill hyena-tiny out --modes 0"), 2, "--modes");
  write("out", "a file");
  refused(run("distill hyena-tiny out --modes 4"), "out: there already");
  ASSERT_EQ(run("distill hyena-tiny new --modes 4").code, 0);
  refused(run("distill new new --modes 4"), "there already");
  std::filesystem::remove(at("new/model.safetensors"));
  EXPECT_EQ(run("distill new newer --modes 4").code, 1);
}

}  // namespace
}  // namespace headrace
