// Words that are not known: which of the known ones is meant, and that every place that takes names says so.
#include "base/nearest.h"

#include "cli.h"
#include "error_of.h"
#include "models/blueprint.h"
#include "train/recipe.h"

namespace headrace {
namespace {

TEST(Nearest, EditsAreLettersAddedLeftOutChangedOrSwapped) {
  for (const auto& [a, b, n] : std::vector<std::tuple<const char*, const char*, size_t>>{
           {"", "", 0}, {"", "ab", 2}, {"attn", "attn", 0}, {"atn", "attn", 1}, {"attns", "attn", 1}, {"atln", "attn", 1}, {"trian", "train", 1},
           {"partiy", "parity", 1}, {"ba", "ab", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}}) {
    EXPECT_EQ(edits(a, b), n) << a << ' ' << b;
    EXPECT_EQ(edits(b, a), n) << b << ' ' << a;
  }
}
TEST(Nearest, ShortWordsAndThoseFarOffHaveNone) {
  const std::vector<std::string> known{"gru", "lstm", "mamba", "mamba2"};
  EXPECT_EQ(nearest("gur", known), "gru");
  EXPECT_EQ(nearest("manba", known), "mamba");
  EXPECT_EQ(nearest("mamba3", known), "mamba") << "the first of two as near";
  for (const std::string word : {"x", "", "no", "cat", "transformer"}) EXPECT_EQ(nearest(word, known), "") << word;
  EXPECT_EQ(nearest(std::string(1 << 20, 'm'), known), "");
}

TEST_F(Cli, WordsThatAreNotKnownSayWhatWasMeant) {
  const auto says = [&](const std::string& arguments, int code, const std::string& words) {
    const Ran r = run(arguments);
    one_line(r, code, arguments);
    EXPECT_NE(r.err.find(words), std::string::npos) << r.err;
  };
  says("trian recipe.toml", 2, "did you mean train?");
  says("state inof s", 2, "did you mean info?");
  says("probe list --jsn", 2, "did you mean --json?");
  says("probe partiy --show 1", 1, "did you mean parity?");
  says("probe partiy --blueprint 'd=8 gru' --grid rate=1", 1, "did you mean parity?");
  says("probe lsit", 1, "did you mean list?");
  says("probe parity --set mx=8 --show 1", 1, "did you mean max?");
  says("probe parity --blueprint 'd=8 gru' --grid rte=1", 2, "did you mean rate?");
  says("info mamba-tinny", 1, "did you mean mamba-tiny?");
  says("explain retnte", 1, "did you mean retnet?");
  says("info stories260", 1, "did you mean stories260K?");
  EXPECT_NE(run("plan 'd=8 attn(haeds=2)'").err.find("did you mean heads?"), std::string::npos);
  for (const std::string word : {"frobnicate", "no", "-"}) EXPECT_EQ(run(word).err.find("did you mean"), std::string::npos) << word;
  for (const std::string file : {"no/such/mamba-tinny", "./retnte"})
    EXPECT_EQ(run("info " + file).err.find("did you mean"), std::string::npos) << file;
}
TEST(Nearest, KeysOfRecipesAndBlueprintsToo) {
  const std::string recipe = "[model]\nblueprint = \"d=8 gru\"\n[data]\ntrain = \"x\"\n[train]\nstesp = 3\nfrobnicate = 1\n";
  const std::string said = error_of([&] { parse_recipe(recipe, "r.toml"); });
  EXPECT_NE(said.find("stesp: no such key, found 3; did you mean steps? [train] has steps"), std::string::npos) << said;
  EXPECT_NE(said.find("frobnicate: no such key, found 1; [train] has"), std::string::npos) << said;
  EXPECT_NE(error_of([] { parse_blueprint("vocb=8 gru"); }).find("did you mean vocab?"), std::string::npos);
}

}  // namespace
}  // namespace headrace
