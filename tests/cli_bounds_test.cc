// What a model, a file or a machine cannot give more of: the verbs say so by name, or take what there is.
#include <gtest/gtest.h>

#include "base/file.h"
#include "cli.h"

namespace headrace {
namespace {

class CliBounds : public Cli {};

TEST_F(CliBounds, MoreTokensThanLearnedPositionsNameTheFileWhateverTheVerb) {
  const std::string model = fixtures + "models/gpt2";
  tokens("long", std::vector<int64_t>(129, 1));
  for (const std::string& verb : {"logits " + model + " --tokens long --out o", "plan " + model + " --context 129"}) {
    const Ran r = run(verb);
    one_line(r, 1, verb);
    EXPECT_NE(r.err.find(model + ": 129 tokens: the model has 128 learned positions"), std::string::npos) << r.err;
  }
  EXPECT_EQ(run("plan " + model + " --context 128").code, 0);
}

TEST_F(CliBounds, WhatLiesBesideTheShippedModelsIsNone) {
  ASSERT_TRUE(file_exists(HEADRACE_ROOT "/assets/README.md"));
  const Ran r = run("info README.md");
  one_line(r, 1, "README.md");
  EXPECT_NE(r.err.find("README.md: no such file or folder"), std::string::npos) << r.err;
}

TEST_F(CliBounds, CheckTellsThatItTookFewerTokens) {
  const Ran r = run("check " + fixtures + "models/gpt2 --tokens 500");
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(r.err, "gpt2: 128 learned positions: checked with --tokens 128\n");
  EXPECT_EQ(run("check " + fixtures + "models/gpt2 --tokens 100").err, "");
  EXPECT_EQ(run("check 'd=16 vocab=32 linformer(heads=2, longest=60)'").err, "blueprint: 60 tokens at the most: checked with --tokens 60\n");
}

TEST_F(CliBounds, AStackWithALongestSequenceIsPlannedAndMeasuredUpToIt) {
  const Value plan = json("plan 'd=16 vocab=32 linformer(heads=2, longest=300)' --json");
  EXPECT_EQ(number(plan, "context"), 300);
  EXPECT_EQ(number(json("plan 'd=16 vocab=32 aft(form=full, longest=200), linformer(heads=2, longest=300)' --json"), "context"), 200);
  EXPECT_EQ(number(json("plan 'd=16 vocab=32 aft' --json"), "context"), 4096);
  const std::string bench = "bench 'd=16 vocab=32 linformer(heads=2, longest=60)' --reps 1 --prompt 100 --json";
  const Ran r = run(bench);
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.err.find("linformer sees later tokens: only the prompt is measured"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("60 tokens at the most: measured with --prompt 60 --gen 0"), std::string::npos) << r.err;
  const Value j = json(bench);
  EXPECT_GT(number(j, "prefill_tps"), 0);
  EXPECT_EQ(number(j, "gen"), 0);
}

TEST_F(CliBounds, QuantizeTakesATypeInAnyCaseAndTellsOfASecondRounding) {
  const std::string in = fixtures + "gguf/llama_q8_0.gguf";
  const Value j = json("quantize " + in + " q.gguf --type q4_0 --json");
  EXPECT_EQ(string(j, "type"), "Q4_0");
  EXPECT_GT(number(*j.find("requantised"), "q8_0"), 0);
  EXPECT_NE(run("quantize " + in + " q.gguf --type Q4_0").err.find("were q8_0 already: rounded twice"), std::string::npos);
  EXPECT_EQ(run("quantize " + in + " q.gguf --type Q8_0").err.find("rounded twice"), std::string::npos);
  EXPECT_EQ(run("quantize " + fixtures + "gguf/llama.gguf q.gguf --type q4_0").err.find("rounded twice"), std::string::npos);
  one_line(run("quantize " + in + " q.gguf --type q4_9"), 2, "no such type");
}

TEST_F(CliBounds, ALongPlanIsQuick) {
  EXPECT_EQ(number(json("plan stories260K --context 67108864 --json"), "state_bytes_per_token"), 1280);
}

}  // namespace
}  // namespace headrace
