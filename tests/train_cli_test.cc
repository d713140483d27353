// headrace train from outside: what it leaves opens in the other verbs, and what goes wrong is one line. Runs that are cut: train_stops_test.cc.
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "cli.h"
#include "io/safetensors.h"
#include "ops/training.h"
#include "run/load.h"
#include "small_run.h"
#include "text/unicode.h"
#include "train/log.h"

namespace headrace {
namespace {

class TrainCli : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    write("text.txt", small_text()), write("r.toml", small_recipe(30, 5, true));

  }
  std::string bytes(const std::string& name) const { return read_text(at(name)); }
};

TEST_F(TrainCli, WhatIsTrainedRunsAndIsExported) {
  const Value j = json("train r.toml --json");
  EXPECT_EQ(number(j, "steps"), 30);
  EXPECT_EQ(number(j, "share_reached"), 1);
  EXPECT_EQ(number(j, "layers_reached"), 2);
  EXPECT_LT(number(j, "bits_per_byte"), 5);
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json", "training.safetensors", "log.jsonl", "loss.svg"})
    EXPECT_TRUE(file_exists(at(std::string("r/") + file))) << file;
  EXPECT_EQ(run("run r -p 'the cat' -n 8 --temp 0").code, 0);
  EXPECT_EQ(string(json("info r --json"), "blueprint"), "d=32 vocab=257  attn(heads=2) + swiglu, mamba");
  EXPECT_EQ(run("check r --tokens 20").code, 0);
  EXPECT_EQ(run("quantize r r.gguf --type F32").code, 0) << run("quantize r r.gguf --type F32").err;
  EXPECT_EQ(run("run r.gguf -p 'the cat' -n 8 --temp 0").out, run("run r -p 'the cat' -n 8 --temp 0").out);
  const std::string svg = bytes("r/loss.svg");
  EXPECT_TRUE(svg.starts_with("<svg") && svg.find("valid_loss") != svg.npos);
  EXPECT_EQ(std::count(svg.begin(), svg.end(), '\n') > 5, true);
}

TEST_F(TrainCli, ProductsOfBf16AreGoneOnWithToTheBitAndNotWithOthers) {
  const std::string train = "train r.toml --threads 1 --set schedule.kind=constant --set train.precision=bf16 --json --out ";
  ASSERT_EQ(run(train + "whole --set train.steps=12").code, 0);
  ASSERT_EQ(run(train + "cut --set train.steps=7").code, 0);
  ASSERT_EQ(run(train + "cut --set train.steps=12").code, 0);
  EXPECT_TRUE(bytes("whole/model.safetensors") == bytes("cut/model.safetensors"));
  const Ran other = run("train r.toml --threads 1 --set schedule.kind=constant --json --out cut --set train.steps=14");
  one_line(other, 1, "another precision");
  EXPECT_NE(other.err.find("train.precision was \"bf16\" and is \"f32\""), std::string::npos) << other.err;
  ASSERT_EQ(run("train r.toml --threads 1 --set schedule.kind=constant --json --out f32 --set train.steps=12").code, 0);
  EXPECT_FALSE(bytes("whole/model.safetensors") == bytes("f32/model.safetensors"));
}

TEST_F(TrainCli, CarriedStatesAreGoneOnWith) {
  const std::string carry = " --threads 1 --set data.carry=true --set data.length=8 "
                            "--set 'model.blueprint=\"d=32  attn(heads=2, window=100), mamba, slstm(heads=2)\"'";
  ASSERT_EQ(run("train r.toml --out whole --set train.steps=12" + carry).code, 0) << run("train r.toml --out whole --set train.steps=12" + carry).err;
  // The schedule follows train.steps, so that it is constant here.
  const std::string constant = carry + " --set schedule.kind=constant --set schedule.warmup=0";
  ASSERT_EQ(run("train r.toml --out long --set train.steps=12" + constant).code, 0);
  ASSERT_EQ(run("train r.toml --out cut --set train.steps=5" + constant).code, 0);
  ASSERT_EQ(run("train r.toml --out cut --set train.steps=12" + constant).code, 0);
  EXPECT_TRUE(bytes("long/model.safetensors") == bytes("cut/model.safetensors"));
}

TEST_F(TrainCli, FineTuningSavesTheFamilyThatItOpened) {
  write("f.toml", "[model]\ncheckpoint = \"stories260K\"\n[data]\ntrain = \"text.txt\"\nlength = 32\nbatch = 2\n[train]\nsteps = 5\n");
  ASSERT_EQ(run("train f.toml").code, 0) << run("train f.toml").err;
  EXPECT_EQ(string(json("info f --json"), "blueprint"), string(json("info stories260K --json"), "blueprint"));
  EXPECT_EQ(run("run f -p 'the cat' -n 8 --temp 0").code, 0);
  const Value lora = json("train f.toml --out lora --json --set model.tune=lora --set model.rank=4 --set save.dtype=bf16");
  EXPECT_LT(number(lora, "share_reached"), 0.3);
  EXPECT_EQ(number(lora, "layers_reached"), 5);
  EXPECT_EQ(run("run lora -p 'the cat' -n 8 --temp 0").code, 0);
  EXPECT_EQ(run("train f.toml --out again --set model.checkpoint=f").code, 0);                 // what was trained is a checkpoint too
  ASSERT_EQ(run("train r.toml").code, 0);
  EXPECT_EQ(run("train f.toml --out tuned --set model.checkpoint=r --set model.tune=lora").code, 0);
}

// The mean loss of the text's tokens as the program that runs the model has it.
double loss_of(const std::string& folder, const std::string& text) {
  const Loaded m = open_model(folder);
  const std::vector<int> encoded = m.tokenizer->encode(text, {.parse_special = false, .keep_broken_bytes = true});
  std::vector<int32_t> ids(encoded.begin(), encoded.end());
  if (m.tokenizer->eos()) ids.push_back(*m.tokenizer->eos());
  const std::vector<int32_t> next(ids.begin() + 1, ids.end());
  Batch batch;
  batch.add(std::ssize(next));
  const Tensor losses = cross_entropy(m.model.decoder.logits(m.model.decoder.hidden(std::span(ids).first(next.size()), batch)), next);
  double sum = 0;
  for (float l : losses.floats()) sum += l;
  return sum / static_cast<double>(next.size());
}
TEST_F(TrainCli, AModelWhoseStateWasTunedBeginsWithIt) {
  const std::string text = "the cat sat on the mat and saw 4 birds and then the cat sat on the mat and saw 9 birds";
  write("one.txt", text);
  write("f.toml", "[model]\ncheckpoint = \"rwkv7-tiny\"\ntune = \"state\"\n[data]\ntrain = \"one.txt\"\nvalid = \"one.txt\"\n"
                  "length = 200\nbatch = 1\n[train]\nsteps = 30\nema = 0.5\n[optimizer]\nrate = 0.05\n");
  const Value j = json("train f.toml --out s --json");
  const std::string assets = std::string(HEADRACE_ROOT) + "/assets/";
  const double before = loss_of(assets + "rwkv7-tiny", text), after = loss_of(at("s"), text);
  EXPECT_LT(after, before - 0.02);
  EXPECT_NEAR(after, number(j, "valid_loss"), 1e-3);
  EXPECT_EQ(run("check s --tokens 30").code, 0) << run("check s --tokens 30").out;
  const auto begins = [&](const char* model) { return *json(std::string("info ") + model + " --json").find("initial_state")->get<bool>(); };
  EXPECT_TRUE(begins("s") && !begins("rwkv7-tiny"));
  // Every form, and a copy of the state beside the model that it was tuned in.
  tokens("t", {5, 9, 100, 7, 12, 44, 3, 8});
  for (const char* form : {"whole", "chunk", "step"})
    ASSERT_EQ(run(std::string("logits s --tokens t --chunk 3 --out ") + form + " --form " + form).code, 0);
  ASSERT_EQ(run("logits rwkv7-tiny --tokens t --out base").code, 0);
  const auto logits = [&](const char* name) { return SafetensorsFile(at(name)).tensor("logits").contiguous_copy(); };
  const auto distance = [&](const char* a, const char* b) {
    const Tensor x = logits(a), y = logits(b);
    double d = 0;
    for (int64_t i = 0; i < x.count(); ++i) d = std::max(d, std::abs(double{x.f32()[i]} - y.f32()[i]));
    return d;
  };
  EXPECT_LT(distance("whole", "step"), 1e-3);
  EXPECT_LT(distance("whole", "chunk"), 1e-3);
  EXPECT_GT(distance("whole", "base"), 0.05);
  const std::string prompt = " -p 'the cat sat' -n 8 --temp 0 --json --logprobs 0";
  const auto said = [&](const std::string& model) { return to_json(*json("run " + model + prompt).find("logprobs")); };
  EXPECT_NE(said("s"), said("rwkv7-tiny"));
  std::filesystem::copy_file(at("s/initial.state"), at("day.state"));
  const std::string day = said("s --state day.state");
  EXPECT_EQ(day, said("s"));
  EXPECT_EQ(number(json("state info day.state --json"), "tokens"), 19);                          // it went on, as states do
  std::filesystem::copy_file(at("s/initial.state"), at("base.state"));
  EXPECT_NE(said("rwkv7-tiny --state base.state"), said("rwkv7-tiny"));                          // the model that it was tuned in
  refused(run("run s --state s/initial.state" + prompt), "s/initial.state: is what s begins with");
  refused(run("quantize s s.gguf"), "s/initial.state: GGUF has no place for a state to begin with");
  refused(run("distill s modes --modes 4"), "s/initial.state: was tuned with the filters as they are");
  // Further tuning begins with it, of the state or of the weights; another run in the folder forgets it.
  const Value more = json("train f.toml --out more --json --set model.checkpoint=s --set train.steps=1 --set optimizer.rate=0 --set train.ema=0");
  EXPECT_NEAR(number(more, "valid_loss"), number(j, "valid_loss"), 1e-4);
  const Value full = json("train f.toml --out full --json --set model.checkpoint=s --set model.tune=full --set train.steps=1 --set optimizer.rate=0");
  EXPECT_NEAR(number(full, "valid_loss"), number(j, "valid_loss"), 1e-4);
  EXPECT_NEAR(loss_of(at("full"), text), after, 1e-4);
  ASSERT_EQ(run("train f.toml --out s --restart --set model.tune=full --set train.steps=1").code, 0);
  EXPECT_FALSE(file_exists(at("s/initial.state")));
}
TEST_F(TrainCli, AStateThatIsNotTheModelsIsRefusedByName) {
  write("f.toml", "[model]\ncheckpoint = \"rwkv7-tiny\"\ntune = \"state\"\n[data]\ntrain = \"text.txt\"\nlength = 20\n"
                  "batch = 1\n[train]\nsteps = 1\n");
  ASSERT_EQ(run("train f.toml --out s").code, 0);
  ASSERT_EQ(run("train r.toml --set train.steps=1").code, 0);
  std::filesystem::copy_file(at("s/initial.state"), at("r/initial.state"));
  const Ran r = run("run r -p a -n 1");
  one_line(r, 1, "another model's");
  EXPECT_NE(r.err.find("r/initial.state: wanted the state of 3 layers, found "), std::string::npos) << r.err;
  ASSERT_EQ(run("run rwkv7-tiny -p a -n 1 --state read.state").code, 0);
  std::filesystem::copy_file(at("read.state"), at("s/initial.state"), std::filesystem::copy_options::overwrite_existing);
  refused(run("run s -p a -n 1"), "s/initial.state: ");
}

TEST_F(TrainCli, WhatIsWrongIsOneLineAndNothingSavedIsLost) {
  one_line(run("train none.toml --json"), 1, "no recipe");
  one_line(run("train r.toml --json --set train.stepz=1"), 1, "unknown key");
  one_line(run("train r.toml --json --set data.train=none.txt"), 1, "no data");
  one_line(run("train r.toml --json --set 'model.blueprint=\"d=32 vocab=100  attn\"'"), 1, "vocabulary too small");
  EXPECT_EQ(run("train r.toml --plan --json").code, 0);
  EXPECT_FALSE(file_exists(at("r")));
  ASSERT_EQ(run("train r.toml --json --set train.steps=5").code, 0);
  const std::string saved = bytes("r/training.safetensors");
  const Ran other = run("train r.toml --json --set optimizer.rate=0.5");
  one_line(other, 1, "another recipe");
  EXPECT_NE(other.err.find("r: was trained by another recipe: optimizer.rate was 0.01 and is 0.5"), std::string::npos) << other.err;
  // Of a disk that is full: no file may grow beyond 64 KiB.
  const std::string full = "ulimit -f 64; cd '" + folder_ + "'; '" HEADRACE_BINARY "' train r.toml --json >stdout 2>stderr";
  const int status = std::system(("bash -c \"" + full + "\"").c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  const std::string said = bytes("stderr");
  EXPECT_NE(said.find("training.safetensors: cannot write: File too large; r has the run as it was after step 5"), std::string::npos) << said;
  EXPECT_TRUE(bytes("r/training.safetensors") == saved);
  const Ran nan = run("train r.toml --json --out n --set optimizer.rate=1e3 "
                      "--set train.clip=0 --set schedule.warmup=0 --set optimizer.eps=0 --set train.steps=400");
  one_line(nan, 1, "not finite");                                                    // decay alone makes each step 99 times as large
  EXPECT_NE(nan.err.find("headrace: step "), std::string::npos) << nan.err;
  EXPECT_NE(nan.err.find("; nothing was saved before"), std::string::npos) << nan.err;
}

TEST_F(TrainCli, WhatWouldSpoilAFolderIsRefusedBeforeTheFirstStep) {
  ASSERT_EQ(run("train r.toml --json --set train.steps=1").code, 0);
  const std::string saved = bytes("r/model.safetensors");
  const auto says = [&](const std::string& arguments, const std::string& what) {
    const Ran ran = run("train r.toml --json " + arguments);
    one_line(ran, 1, arguments.c_str());
    EXPECT_NE(ran.err.find(what), std::string::npos) << ran.err;
  };
  says("--out r --set model.checkpoint=r --set model.blueprint=", "r: is model.checkpoint itself, which the run would write over");
  says("--out q --set model.checkpoint=none --set model.blueprint=", "none: no such folder; wanted one with config.json");
  write("raw.json", std::string("\x1b[31m\xff\xfe\x00{", 9)), write("raw.txt", "\x1b]0;\xe9\n");
  for (const char* raw : {"raw.json", "raw.txt"}) {                // bytes of a file do not reach the terminal
    const Ran ran = run(std::string("train r.toml --json --out q --set data.tokenizer=") + raw);
    one_line(ran, 1, raw);
    EXPECT_TRUE(is_utf8(ran.err)) << raw;
    EXPECT_EQ(ran.err.find('\x1b'), std::string::npos) << raw;
  }
  says("--out q --set data.batch=1000000 --set data.length=1048576", " MiB are available; less data.batch");
  says("--out q --set 'model.blueprint=\"d=32 longformer(window=4)\"'", "longformer sees later tokens, the next one among them");
  EXPECT_TRUE(bytes("r/model.safetensors") == saved);
  EXPECT_FALSE(file_exists(at("q")));
}

TEST_F(TrainCli, AFolderHasTheTokenizerOfTheRunThatIsInIt) {
  ASSERT_EQ(run("tokenizer train --text text.txt --vocab 280 -o words.json").code, 0);
  ASSERT_EQ(run("train r.toml --json --out r --set train.steps=1").code, 0);
  write("r/merges.txt", "of another tokenizer");
  ASSERT_EQ(run("train r.toml --json --out r --restart --set train.steps=1 --set data.tokenizer=words.json").code, 0);
  EXPECT_EQ(bytes("r/tokenizer.json"), bytes("words.json"));
  EXPECT_FALSE(file_exists(at("r/merges.txt")));
  std::filesystem::create_directories(at("own"));                  // a folder that was no run's is left as it is
  write("own/merges.txt", "somebody's");
  const Ran ran = run("train r.toml --json --out own --set train.steps=1");
  one_line(ran, 1, "files of another");
  EXPECT_NE(ran.err.find("own: has a merges.txt, and no run that could be gone on with"), std::string::npos) << ran.err;
  EXPECT_EQ(bytes("own/merges.txt"), "somebody's");
  const std::string model = bytes("r/model.safetensors");
  write("r/model.safetensors", "");                                // a plan writes nothing
  ASSERT_EQ(run("train r.toml --json --out r --plan --set train.steps=1 --set data.tokenizer=words.json").code, 0);
  EXPECT_EQ(bytes("r/model.safetensors"), "");
  ASSERT_EQ(run("train r.toml --json --out r --set train.steps=1 --set data.tokenizer=words.json").code, 0);
  EXPECT_TRUE(bytes("r/model.safetensors") == model);
}

TEST_F(TrainCli, AModelThatIsNotFiniteIsNotSaved) {
  const Ran ran = run("train r.toml --json --out n --set 'model.blueprint=\"d=32 2*(gated_delta_net + mlp)\"' --set optimizer.rate=1000 "
                      "--set train.clip=0 --set train.steps=1 --set 'data.valid=text.txt' --set train.ema=0");
  one_line(ran, 1, "not finite");
  EXPECT_NE(ran.err.find("headrace: step 1: the loss on data.valid is "), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("; nothing was saved before"), std::string::npos) << ran.err;
  EXPECT_FALSE(file_exists(at("n/model.safetensors")));
}

TEST_F(TrainCli, ATrainingStateThatLiesIsRefusedByName) {
  const std::string train = "train r.toml --json --set data.carry=true --set data.length=8 --set train.steps=4 --set schedule.kind=constant --out r";
  ASSERT_EQ(run(train).code, 0);
  const std::string path = at("r/training.safetensors"), good = bytes("r/training.safetensors");
  const auto lied = [&](const std::string& what, auto&& lie) {
    write("r/training.safetensors", good);
    std::vector<NamedTensor> tensors;
    std::map<std::string, std::string> notes;
    {
      const SafetensorsFile file(path);
      for (const auto& [name, t] : file.tensors()) tensors.emplace_back(name, t.contiguous_copy());
      notes = file.metadata();
    }
    lie(tensors, notes);
    write_safetensors(path, tensors, notes);
    const Ran r = run(train + " --set train.steps=6");
    one_line(r, 1, what);
    EXPECT_NE(r.err.find("training.safetensors: "), std::string::npos) << r.err;
  };
  size_t lies = 0;
  std::vector<std::string> names;
  {
    const SafetensorsFile file(path);
    for (const auto& [name, t] : file.tensors()) names.push_back(name);
  }
  for (const std::string& name : names) {
    const bool first = names.size() < 40 || lies % 5 == 0 || name.starts_with("lane.0");
    ++lies;
    if (!first) continue;
    lied(name, [&](auto& all, auto&) {                 // one number
      for (auto& [n, t] : all)
        if (n == name) t = Tensor::zeros({1}, t.dtype() == DType::i64 ? DType::f32 : t.dtype());
    });
  }
  for (const char* key : {"step", "tokens", "seconds"})
    for (const char* value : {"", "-1", "many", "1e300"}) lied(std::string(key) + " " + value, [&](auto&, auto& notes) { notes[key] = value; });
  for (const char* name : {"lane.", "lane.x.tokens", "lane.99.tokens", "lane.0.9999999.k", "lane.0.0", "lane.0.0.kv.page.x.1", "lane.0.0.a.b.c.d"})
    lied(name, [&](auto& all, auto&) { all.emplace_back(name, Tensor::zeros({4})); });
}

TEST_F(TrainCli, TokenizersAreTrainedAndUsed) {
  const Ran t = run("tokenizer train --text text.txt --vocab 300 -o tokenizer.json");
  EXPECT_EQ(t.code, 0) << t.err;
  EXPECT_NE(t.out.find("tokenizer.json: 300 tokens"), std::string::npos) << t.out;
  ASSERT_EQ(run("train r.toml --set data.tokenizer=tokenizer.json --set train.steps=3").code, 0);
  EXPECT_EQ(string(json("info r --json"), "blueprint"), "d=32 vocab=300  attn(heads=2) + swiglu, mamba");
  EXPECT_EQ(run("run r -p 'the cat' -n 4 --temp 0").code, 0);
}

TEST_F(TrainCli, EventsForTensorBoardHaveTheirChecksums) {
  EXPECT_EQ(crc32c("123456789", 9), 0xe3069283u);                                  // the polynomial's check value
  ASSERT_EQ(run("train r.toml --set report.tensorboard=true --set train.steps=5").code, 0);
  int found = 0;
  for (const auto& e : std::filesystem::directory_iterator(at("r"))) {
    if (e.path().filename().string().find("events.out.tfevents.") != 0) continue;
    const std::string all = read_text(e.path().string());
    const auto masked = [](const char* p, size_t n) {
      const uint32_t c = crc32c(p, n);
      return (c >> 15 | c << 17) + 0xa282ead8u;
    };
    for (size_t at = 0; at < all.size(); ++found) {
      uint64_t n = 0;
      uint32_t first = 0, second = 0;
      std::memcpy(&n, &all[at], 8), std::memcpy(&first, &all[at + 8], 4);
      ASSERT_EQ(first, masked(&all[at], 8));
      ASSERT_LE(at + 16 + n, all.size());
      std::memcpy(&second, &all[at + 12 + n], 4);
      ASSERT_EQ(second, masked(&all[at + 12], n));
      at += 16 + n;
    }
  }
  EXPECT_GT(found, 5);
}

}  // namespace
}  // namespace headrace
