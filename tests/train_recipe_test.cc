// Recipes: what they may say, and that every fault is one line with the file, the key, what was wanted and what was found.
#include <gtest/gtest.h>

#include "base/error.h"
#include "error_of.h"
#include "train/recipe.h"

namespace headrace {
namespace {

const std::string good = R"toml(
seed = 7
[model]
blueprint = "d=32  2*(attn + swiglu)"
[data]
train = ["a.txt", {path = "b.jsonl", weight = 2, field = "story"}]
length = 64
[optimizer]
rate = 3e-3
groups.state_space = {rate = 1e-4, decay = 0}
[train]
steps = 20
)toml";

std::string message(const std::string& toml, const std::vector<std::string>& sets = {}) {
  return error_of([&] { parse_recipe(toml, "story.toml", sets); });
}

TEST(Recipe, SaysWhatItSaysAndDefaultsForTheRest) {
  const Recipe r = parse_recipe(good, "story.toml", {"optimizer.kind=muon", "train.clip=2", "save.folder=out"});
  EXPECT_EQ(r.seed, 7);
  EXPECT_EQ(r.data.train.size(), 2u);
  EXPECT_EQ(r.data.train[1].path, "b.jsonl");
  EXPECT_EQ(r.data.train[1].weight, 2);
  EXPECT_EQ(r.data.train[1].field, "story");
  EXPECT_EQ(r.data.length, 64);
  EXPECT_EQ(r.data.batch, 8);
  EXPECT_EQ(r.optimizer.rate, 3e-3);
  EXPECT_EQ(r.optimizer.kind, "muon");
  EXPECT_EQ(r.optimizer.groups.at("state_space").at("rate"), 1e-4);
  EXPECT_EQ(r.train.clip, 2);
  EXPECT_EQ(r.save.folder, "out");
  EXPECT_EQ(r.schedule.kind, "cosine");
}

TEST(Recipe, WhatIsWrongIsOneLineWithFileKeyWantedAndFound) {
  EXPECT_EQ(message(good + "stepz = 3\n"), "story.toml: line 13: train.stepz: no such key, found 3; did you mean steps? [train] has steps, "
                                           "accumulate, precision, clip, smoothing, z_loss, balance, dropout, ema, recompute");
  EXPECT_EQ(message(good, {"train.steps=many"}), "story.toml: train.steps: wanted an integer, found \"many\"");
  EXPECT_EQ(message(good, {"train.dropout=1.5"}), "story.toml: train.dropout: wanted a number from 0 to 0.999, found 1.5");
  EXPECT_EQ(message(good, {"optimizer.kind=sgd"}), "story.toml: optimizer.kind: wanted one of adamw, muon, found \"sgd\"");
  EXPECT_EQ(message(good, {"data.train=[3]"}), "story.toml: data.train: wanted paths, or tables of path, weight (above 0) and field, found 3");
  EXPECT_EQ(message(good, {"data=3"}).substr(0, 41), "story.toml: data: wanted a table, found 3");
  EXPECT_EQ(message(good, {"nonsense"}), "--set nonsense: wanted key=value, as in optimizer.rate=1e-3");
  EXPECT_EQ(message("[model]\nblueprint = \"attn\"\ncheckpoint = \"x\"\n[data]\ntrain=\"a\"\n"),
            "story.toml: [model]: wanted blueprint or checkpoint, found both");
  EXPECT_EQ(message("[model]\nblueprint = \"attn\"\n"), "story.toml: data.train: wanted at least one file, found none");
  EXPECT_EQ(message("[model]\nblueprint = \"attn\"\ntune = \"lora\"\n[data]\ntrain=\"a\"\n"), "story.toml: model.tune: lora wants model.checkpoint");
  EXPECT_NE(message("seed = \n").find("story.toml:1: "), std::string::npos) << message("seed = \n");
  const std::string two = message(good, {"train.steps=many", "data.length=0"});
  EXPECT_NE(two.find("data.length: wanted an integer from 1 to 16777216, found 0; train.steps: "), std::string::npos) << two;
}

TEST(Recipe, MayBeginWithAByteOrderMarkAndHaveAnyTextInQuotes) {
  EXPECT_EQ(parse_recipe("\xef\xbb\xbf" + good, "story.toml", {}).train.steps, parse_recipe(good, "story.toml", {}).train.steps);
  EXPECT_EQ(parse_recipe(good, "story.toml", {"data.separator=\'\'\'\nö\nz\'\'\'"}).data.separator, "ö\nz");
  EXPECT_EQ(parse_recipe(good, "story.toml", {"data.separator=\"\"\"ö\"\nö\"\"\"\"\""}).data.separator, "ö\"\nö\"\"");
  EXPECT_NE(message(good + "x = \"\"\"a\"\"\" ö\n").find("a character beyond ASCII outside of quotes"), std::string::npos);
}
TEST(Recipe, IsGoneOnWithOnlyWhereItIsTheSame) {
  const Recipe a = parse_recipe(good, "story.toml"), more = parse_recipe(good, "story.toml", {"train.steps=40", "save.every=5"}),
               other = parse_recipe(good, "story.toml", {"optimizer.rate=1e-3"});
  EXPECT_TRUE(differences(to_value(a), to_value(more)).empty());
  EXPECT_EQ(differences(to_value(a), to_value(other)), std::vector<std::string>{"optimizer.rate was 0.003 and is 0.001"});
  // What was trained before a key was there was trained with its default.
  Value old = to_value(a);
  std::get<Object>(std::get<Object>(old.v).at("train").v).erase("precision");
  EXPECT_TRUE(differences(old, to_value(a)).empty());
  EXPECT_EQ(differences(old, to_value(parse_recipe(good, "story.toml", {"train.precision=bf16"}))),
            std::vector<std::string>{"train.precision was \"f32\" and is \"bf16\""});
}

TEST(Recipe, HelpListsEveryKey) {
  const std::string help = recipe_help();
  for (const char* key : {"seed", "model.blueprint", "data.train", "train.steps", "optimizer.groups", "schedule.kind", "save.every", "report.every"})
    EXPECT_NE(help.find(key), std::string::npos) << key;
}

}  // namespace
}  // namespace headrace
