// The program from outside: what other programs rely on.
#include "cli.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "io/safetensors.h"
#include "mixers/catalogue.h"
#include "models/named_blueprints.h"

using namespace headrace;

namespace {

// The verbs that --help lists, nested ones as "state save".
std::vector<std::string> verbs_of(const std::string& help) {
  std::vector<std::string> found;
  size_t at = help.find("Verbs:\n");
  if (at == std::string::npos) return found;
  for (at += 7; at < help.size() && help[at] == ' '; at = help.find('\n', at) + 1)
    found.push_back(help.substr(at + 2, help.find(' ', at + 2) - at - 2));
  return found;
}

TEST_F(Cli, TokenizeGivesIdsOfTextAndTextOfIds) {
  const std::string neox = HEADRACE_ROOT "/assets/tokenizers/gpt_neox_20b_tokenizer.json.zst";
  EXPECT_EQ(run("tokenize " + neox, "Hello  world").out, "12092 50276 10186\n");
  EXPECT_EQ(run("tokenize stories260K -p 'Once upon'").out, "1 403 407\n");
  EXPECT_EQ(run("tokenize stories260K --plain -p 'Once upon'").out, "403 407\n");
  EXPECT_EQ(run("tokenize " + neox + " --decode", "12092 50276 10186").out, "Hello  world\n");
  EXPECT_EQ(run("tokenize " + neox + " --count --each line", "Hello\n\nHello  world\n").out, "1\n0\n3\n");
  EXPECT_EQ(run("tokenize " + neox + " --pieces -p Hello").out, "12092\t\"Hello\"\n");
  EXPECT_EQ(to_json(json("tokenize " + neox + " --json --pieces -p Hello")), R"({"pieces":["Hello"],"tokens":[12092]})");
  EXPECT_EQ(to_json(json("tokenize " + neox + " --json --count -p 'Hello  world'")), R"({"count":3})");
  one_line(run("tokenize " + neox + " --decode", "12x"), 1, "a word that is no id");
  one_line(run("tokenize " + neox + " --decode", "99999999"), 1, "an id outside the vocabulary");
  one_line(run("tokenize nothing.json"), 1, "no such file");
}

TEST_F(Cli, EveryVerbHasHelpWithAnExampleAndJson) {
  std::vector<std::string> verbs = verbs_of(run("--help").out);
  EXPECT_GE(verbs.size(), 14u);
  for (size_t i = 0; i < verbs.size(); ++i) {
    const Ran r = run(verbs[i] + " --help");
    EXPECT_EQ(r.code, 0) << verbs[i];
    EXPECT_NE(r.out.find("Usage: headrace " + verbs[i]), std::string::npos) << r.out;
    const auto children = verbs_of(r.out);
    for (const auto& c : children) verbs.push_back(verbs[i] + " " + c);
    EXPECT_EQ(r.out.find("SUBCOMMAND"), std::string::npos) << verbs[i];
    const size_t examples = r.out.find("Examples:\n  ");
    ASSERT_NE(examples, std::string::npos) << verbs[i];
    const bool own = r.out.find("headrace " + verbs[i], examples) != std::string::npos;
    EXPECT_TRUE(own) << verbs[i] << ": whose examples are these?\n" << r.out;
    EXPECT_EQ(r.out.find("--json") == std::string::npos, !children.empty()) << verbs[i];
  }
}

TEST_F(Cli, UsageErrorsAreOneLineAndCodeTwo) {
  for (const char* wrong : {"nonsense", "run --nonsense", "run --threads many", "run --threads 65", "run --device tpu", "logits", "state",
      "state save stories260K --out x",
                            "completion tcsh", "op", "run -n x", "logits m --tokens a --out b --form sideways", "bench --reps 0",
      "run -p x --temp -1", "run -p x --temp nan", "run -p x --top-k -1", "run -p x --top-p 0", "run -p x --top-p 1.5", "run -p x --min-p -0.1",
      "run -p x --repeat-penalty 0", "run -p x --presence-penalty inf", "run -p x --penalty-window -1", "run -p x -n -2", "run -p x --logprobs 2",
      "run --chat --json --logprobs 2", "run -p x --tokens t --out o", "run --tokens t", "run -p x --out o", "run --tokens t --out o --state s",
      "plan --context -1", "check --tokens 7", "run -p x --seed 99999999999999999999", "run -p x --top-k -99999999999999999999",
      "info --device cpu", "explain mamba2 --threads 1", "mixers --device cpu", "state info s --threads 1", "state fork s t --device cpu",
      "state diff s t --threads 1", "run --tokens t --out o --stop x", "run --tokens t --out o --ignore-end", "run --tokens t --out o --stats",
      "run -p x -n 08x", "run -p x --seed 0x10", "plan --context ''"})
    one_line(run(wrong), 2, wrong);
  EXPECT_NE(run("run -n x").err.find("wanted a whole number, found x"), std::string::npos);
  EXPECT_NE(run("run --threads 65").err.find("wanted 0 to 64, found 65"), std::string::npos);
  EXPECT_NE(run("run -n 99999999999").err.find("wanted -1 to 1073741824, found"), std::string::npos);
  EXPECT_NE(run("run --treads 1").err.find("did you mean --threads?"), std::string::npos);
  EXPECT_NE(run("run -m model.gguf").err.find("MODEL needs no option"), std::string::npos);
  EXPECT_EQ(run("run --nothing-like-it").err.find("did you mean"), std::string::npos);
  EXPECT_EQ(run("").code, 2);
}

TEST_F(Cli, NumbersAreDecimal) {
  EXPECT_EQ(number(json("plan --context 010 --json"), "context"), 10);
  EXPECT_EQ(json("run -p Once -n 08 --temp 0 --json").find("tokens")->get<Array>()->size(), 8u);
}

TEST_F(Cli, FailuresAreOneLineAndCodeOne) {
  tokens("in", {1, 2, 3});
  tokens("big", {1, 2, 99999});
  std::ofstream(at("junk")) << "junk";
  const SafetensorsFile gla(fixtures + "ops/gla.in.safetensors");
  std::vector<NamedTensor> with_gradient(gla.tensors().begin(), gla.tensors().end());
  with_gradient.emplace_back("d_nothing", Tensor::zeros({2, 67, 2, 12}));
  write_safetensors(at("d_nothing"), with_gradient);
  const std::string llama = fixtures + "models/llama";
  for (const std::string& wrong : std::vector<std::string>{
           "run no-such-model -p x", "run " + llama + " -p x", "logits " + llama + " --tokens missing --out o",
           "logits " + llama + " --tokens junk --out o", "logits " + llama + " --tokens big --out o", "logits " + llama
               + " --tokens in --out /no/such/folder/o", "info junk",
           "check junk", "state info junk", "state info in", "explain nonsense", "plan junk", "op nonsense --in in --out o",
           "op gla --in d_nothing --out o"})
    one_line(run(wrong), 1, wrong);
  EXPECT_FALSE(file_exists(at("o")));
#ifndef HEADRACE_CUDA
  one_line(run("run -p x --device cuda"), 1, "a device that is not there");
#endif
}

// Before anything long: nothing is shown, and nothing is left beside the place.
TEST_F(Cli, APlaceThatCannotBeWrittenIsToldAtOnce) {
  tokens("in", {1, 2, 3});
  std::filesystem::create_directories(at("folder"));
  for (const char* place : {"/no/such/folder/o", "folder"})
    for (const std::string verb : {"run -p Once -n 3 --state ", "run --chat --state ", "run --tokens in -n 3 --out ",
                                   "logits stories260K --tokens in --out ", "state save stories260K -p Once --out ", "quantize stories260K "}) {
      const Ran r = run(verb + place, "Once\n");
      one_line(r, 1, verb + place);
      EXPECT_NE(r.err.find(std::string(place) + ": cannot write"), std::string::npos) << r.err;
    }
  EXPECT_EQ(run("state save stories260K -p Once --out s").code, 0);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 6);   // in, folder, s, and what run() itself keeps
}

TEST_F(Cli, WhatIsReadIsNotWrittenOver) {
  tokens("in", {1, 2, 3});
  std::filesystem::copy(HEADRACE_ROOT "/assets/stories260K", at("m"));
  std::filesystem::create_hard_link(at("m/model.safetensors"), at("link"));
  std::filesystem::create_symlink(at("m/config.json"), at("other"));
  ASSERT_EQ(run("quantize m m.gguf --type Q8_0").code, 0);
  ASSERT_EQ(run("state save m -p Once --out s").code, 0);
  for (const char* over : {"quantize m.gguf m.gguf", "quantize m.gguf ./m/../m.gguf", "quantize m link", "quantize m other",
                           "quantize m m/tokenizer.model", "state save m -p Once --out link", "state save m --tokens in --out in",
                           "state fork s s", "run m -p x -n 1 --state link",
                           "run m --tokens in -n 1 --out in", "logits m --tokens in --out in", "logits m.gguf --tokens in --out m.gguf"}) {
    const Ran r = run(over);
    one_line(r, 1, over);
    EXPECT_NE(r.err.find("give the output another name"), std::string::npos) << r.err;
  }
  EXPECT_EQ(run("quantize m m.gguf --type Q8_0").code, 0) << "an old output may be replaced";
  EXPECT_EQ(run("info m").code, 0);
}

TEST_F(Cli, BeyondTheTrainedContextAWordIsSaidOnStderr) {
  std::string long_text;                           // made for 512 tokens
  for (int i = 0; i < 300; ++i) long_text += "Once upon ";
  const std::string word = ", made for 512: what comes after those may make no sense\n";
  auto says = [&](const Ran& r, int n) {            // once; a slow machine tells its progress too
    const std::string line = text("stories260K: ", n, " tokens", word);
    EXPECT_EQ(r.code, 0);
    EXPECT_NE(r.err.find(line), std::string::npos) << r.err;
    EXPECT_EQ(r.err.find("made for"), r.err.rfind("made for")) << r.err;
  };
  says(run("run -n 1 --temp 0", long_text), 602);
  const Ran grown = run("run -p Once -n 520 --temp 0 --ignore-end --json");
  says(grown, 521);
  EXPECT_EQ(string(parse_json(grown.out, "run"), "reason"), "length");
  tokens("in", std::vector<int64_t>(513, 5));
  says(run("logits stories260K --tokens in --out o"), 513);
  says(run("run --tokens in -n 2 --temp 0 --out o"), 515);
  EXPECT_EQ(run("run rwkv7-tiny -n 1 --temp 0", long_text).err.find("made for"), std::string::npos);
}

// Short work is silent (every test above holds stderr to that); long work tells, and stdout stays what it is.
TEST_F(Cli, LongWorkTellsItsProgressInPlainLinesOnStderr) {
  tokens("long", std::vector<int64_t>(200000, 5)), tokens("short", {1, 2});
  using Words = std::vector<std::string>;
  for (Words words : {Words{"bench", "stories260K", "--reps", "10000"},
                      {"logits", "mamba-tiny", "--tokens", at("long"), "--out", at("o"), "--form", "step"},
                      {"run", "mamba-tiny", "--tokens", at("short"), "--out", at("o"), "-n", "1000000"}}) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], 2);
      if (!std::freopen(at("stdout").c_str(), "w", stdout)) ::_exit(3);
      std::vector<char*> argv{const_cast<char*>("headrace")};
      for (auto& w : words) argv.push_back(w.data());
      for (const char* w : {"--threads", "1"}) argv.push_back(const_cast<char*>(w));
      argv.push_back(nullptr);
      ::execv(HEADRACE_BINARY, argv.data());
      ::_exit(3);
    }
    ::close(ends[1]);
    const auto begin = std::chrono::steady_clock::now();
    std::string line;
    for (char c = 0; c != '\n' && ::read(ends[0], &c, 1) == 1;) line += c;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ends[0]);
    EXPECT_GT(seconds, 1.5) << words[0];
    const std::string what = words[0] == "run" ? "continue: " : words[0] + ": ";
    EXPECT_TRUE(line.starts_with(what) && line.ends_with(" s left\n")) << line;
    EXPECT_EQ(line.find_first_of("\r\033"), std::string::npos) << line;
    EXPECT_EQ(read_text(at("stdout")), "");
  }
}

TEST_F(Cli, ThreadsAreAsManyAsTheCoresThatTheProcessMayUse) {
  cpu_set_t before, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core)
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const double threads = number(json("check stories260K --tokens 8 --json"), "threads");
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(threads, 1);
}

TEST_F(Cli, RunPrintsTheContinuationAndNothingElse) {
  const Ran a = run("run -p 'Once upon a time' -n 20 --temp 0");
  EXPECT_EQ(a.code, 0);
  EXPECT_EQ(a.out, ", there was a little girl named Lily. She loved to play outsid");
  EXPECT_EQ(a.err, "");
  EXPECT_EQ(run("run -n 20 --temp 0", "Once upon a time\n").out, a.out);
  EXPECT_EQ(run("run -p 'Once upon a time' -n 20 --temp 0 --threads 1").out, a.out);
  EXPECT_EQ(run("run -p 'Once upon a time' -n 20 --temp 0 --stop girl").out, ", there was a little ");
  EXPECT_EQ(run("run -p 'Once upon a time' -n 30 --seed 3").out, run("run -p 'Once upon a time' -n 30 --seed 3").out);
  EXPECT_NE(run("run -p 'Once upon a time' -n 30 --seed 3").out, run("run -p 'Once upon a time' -n 30 --seed 4").out);
  const Value j = json("run -p 'Once upon a time' -n 3 --temp 0 --json --logprobs 2");
  EXPECT_EQ(string(j, "reason"), "length");
  EXPECT_EQ(j.find("logprobs")->get<Array>()->size(), 3u);
  EXPECT_EQ(j.find("top_logprobs")->get<Array>()->at(0).get<Array>()->size(), 2u);
}

TEST_F(Cli, RunContinuesRowsOfTokensAsTheReferenceDoes) {
  const std::string expected = fixtures + "models/llama/expected.safetensors";
  SafetensorsFile f(expected);
  const Tensor ids = f.tensor("input_ids_short"), wanted = f.tensor("generated");
  std::vector<int64_t> twice;
  for (int i = 0; i < 2; ++i) twice.insert(twice.end(), ids.data<int64_t>(), ids.data<int64_t>() + ids.count());
  tokens("in", twice, 2);
  ASSERT_EQ(run("run " + fixtures + "models/llama --tokens in -n 12 --temp 0 --out out").code, 0);
  const Tensor got = SafetensorsFile(at("out")).tensor("generated");
  EXPECT_EQ(got.dtype(), DType::i64);
  EXPECT_EQ(got.shape(), Shape({2, 12}));
  for (int i = 0; i < 24; ++i) EXPECT_EQ(got.data<int64_t>()[i], wanted.data<int64_t>()[i % 12]) << i;
}

TEST_F(Cli, LogitsHaveTheirShapeInEveryForm) {
  tokens("in", {1, 5, 9, 2, 7, 3}, 2);
  std::vector<Tensor> all;
  for (const char* form : {"whole", "chunk", "step"}) {
    ASSERT_EQ(run("logits " + fixtures + "models/llama --tokens in --out out --form " + form).code, 0);
    const Tensor l = SafetensorsFile(at("out")).tensor("logits").contiguous_copy();
    EXPECT_EQ(l.shape(), Shape({2, 3, 64}));
    EXPECT_EQ(l.dtype(), DType::f32);
    all.push_back(l);
    for (int i = 0; i < l.count(); ++i) ASSERT_NEAR(l.f32()[i], all[0].f32()[i], 1e-4);
  }
}

TEST_F(Cli, BenchGivesTheFiguresThatAreReliedOn) {
  const Value j = json("bench --prompt 8 --gen 4 --reps 1 --threads 1 --json");
  for (const char* key : {"prefill_tps", "decode_tps", "load_ms", "first_token_ms", "peak_rss_bytes"}) EXPECT_GT(number(j, key), 0) << key;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)   // their own memory is resident too
TEST_F(Cli, PlanPredictsTheMeasuredPeakWithinFivePercent) {
  // Of the small ones the program itself is nine tenths, and what the system counts of that varies by a tenth of it when the machine is
  // busy: medians.
  for (const std::string& model : {std::string("stories260K"), std::string("rwkv7-tiny"), fixtures + "gguf/llama_q4_k.gguf",
                                   std::string("'d=512 vocab=8192 2*(attn(heads=8) + swiglu)'"),
                                   std::string("'d=512 vocab=8192 2*(rwkv7 + rwkv_channel_mix, mamba2)'")}) {
    std::vector<double> ratios;
    for (int i = 0; i < 15; ++i)
      ratios.push_back(number(json("plan " + model + " --context 104 --json"), "total_bytes")
                       / number(json("bench " + model + " --prompt 100 --gen 4 --reps 1 --threads 2 --json"), "peak_rss_bytes"));
    std::ranges::sort(ratios);
    EXPECT_NEAR(ratios[7], 1, 0.05) << model << ": planned / measured " << ratios[0] << " to " << ratios[14];
  }
}
#endif

TEST_F(Cli, PlanForCudaIsAnEstimateThatNeedsNoGpu) {
  const std::string model = fixtures + "gguf/llama_q4_k.gguf";
  const Value cuda = json("plan " + model + " --device cuda --context 100 --json"), cpu = json("plan " + model + " --context 100 --json");
  EXPECT_TRUE(*cuda.find("estimate")->get<bool>());
  EXPECT_FALSE(*cpu.find("estimate")->get<bool>());
  EXPECT_EQ(string(cuda, "device"), "cuda");
  EXPECT_EQ(number(cuda, "state_bytes"), number(cpu, "state_bytes"));
  EXPECT_NEAR(number(cuda, "weight_bytes"), number(cuda, "file_bytes"), 0.05 * number(cuda, "file_bytes"));   // as they lie in the file
  EXPECT_GE(number(cuda, "product_bytes"), (32 << 20) + 4 * 64 * 256);
  EXPECT_EQ(number(cuda, "total_bytes"), number(cuda, "weight_bytes") + number(cuda, "state_bytes") + number(cuda, "activation_bytes") +
                                             number(cuda, "product_bytes"));
  EXPECT_NE(run("plan --device cuda").out.find("an estimate of the GPU's memory"), std::string::npos);
}

TEST_F(Cli, StateContinuesForksAndDiffers) {
  const std::string whole = run("run -p 'Once upon a time' -n 20 --temp 0").out;
  const std::string first = run("run -p 'Once upon a time' -n 8 --temp 0 --state s").out;
  EXPECT_EQ(run("state fork s copy").code, 0);
  EXPECT_EQ(run("state diff s copy").code, 0);
  EXPECT_EQ(first + run("run -p '' -n 12 --temp 0 --state s").out, whole);
  EXPECT_EQ(run("state diff s copy").code, 1);
  const Ran lengths = run("state diff s copy --json");
  EXPECT_NE(lengths.out.find("\"relative\":null"), std::string::npos) << lengths.out;   // 25 and 13 tokens: no page is full in both
  EXPECT_NE(run("state diff s copy").out.find("not compared"), std::string::npos);
  EXPECT_EQ(number(json("state info copy --json"), "tokens"), 13);
  EXPECT_EQ(run("state save stories260K -p 'Once' --out t").code, 0);
  EXPECT_EQ(json("state load stories260K t --json").find("next")->get<Array>()->size(), 5u);
  const Ran other = run("state load rwkv7-tiny t");
  one_line(other, 1, "another model");
  EXPECT_NE(other.err.find("belongs to 'stories260K'"), std::string::npos) << other.err;
}

TEST_F(Cli, ChatInAPipeReusesWhatWasSaidAndEveryLineIsATurn) {
  const Ran r = run("run --chat --temp 0 -n 10 --json --state talk", "Once upon a time\nThe end\n/usr is a folder\n/quit\n");
  ASSERT_EQ(r.code, 0) << r.err;
  std::vector<Value> turns;
  std::istringstream lines(r.out);
  for (std::string line; std::getline(lines, line);) turns.push_back(parse_json(line, "turn"));
  ASSERT_EQ(turns.size(), 4u);
  EXPECT_EQ(turns[0].find("tokens")->get<Array>()->size(), 10u);
  EXPECT_EQ(number(turns[0], "reused_tokens"), 0);
  EXPECT_EQ(number(turns[1], "reused_tokens"), 15);
  EXPECT_GT(number(turns[2], "reused_tokens"), 15);
  const Ran more = run("run --chat --temp 0 -n 5 --json --state talk", "More\n");
  EXPECT_EQ(more.code, 0);
  EXPECT_GT(number(parse_json(more.out, "more"), "reused_tokens"), number(turns[3], "reused_tokens"));
}

TEST_F(Cli, QuantizeSaysWhenOnlyHeadraceOpensTheFile) {
  const Ran own = run("quantize " + fixtures + "models/griffin g.gguf --type Q8_0 --json"), llama = run("quantize stories260K l.gguf --json");
  EXPECT_NE(own.err.find("g.gguf: GGUF has no architecture for this family; headrace opens it, llama.cpp does not\n"), std::string::npos) << own.err;
  EXPECT_FALSE(*parse_json(own.out, "own").find("opens_in_llamacpp")->get<bool>());
  EXPECT_TRUE(*parse_json(llama.out, "llama").find("opens_in_llamacpp")->get<bool>());
  EXPECT_EQ(llama.err.find("llama.cpp"), std::string::npos) << llama.err;
  EXPECT_EQ(string(json("info g.gguf --json"), "family"), "recurrent_gemma");
  EXPECT_NE(run("quantize --help").out.find("RWKV 4 and 5"), std::string::npos);
}

TEST_F(Cli, CheckHoldsAndSaysSo) {
  const Value j = json("check --json --tokens 40");
  EXPECT_TRUE(*j.find("ok")->get<bool>());
  EXPECT_EQ(j.find("laws")->get<Array>()->size(), 6u);
}

TEST_F(Cli, InfoExplainDoctorAndOpAnswerInJson) {
  const Value info = json("info --json");
  EXPECT_EQ(string(info, "family"), "llama");
  EXPECT_EQ(string(info, "blueprint"), "d=64 vocab=512  5*(attn(heads=8, kv=4) + swiglu(hidden=172))");
  EXPECT_GT(number(info, "parameters"), 200000);
  EXPECT_EQ(json("explain mamba2 --json").find("layers")->get<Array>()->size(), 1u);
  EXPECT_EQ(json("explain 'd=8 2*(attn(heads=2, kv=1) + swiglu, mamba)' --json").find("layers")->get<Array>()->size(), 3u);
  const Value model = json("explain stories260K --json");
  EXPECT_EQ(string(model, "blueprint"), "d=64 vocab=512  5*(attn(heads=8, kv=4) + swiglu(hidden=172))");
  EXPECT_EQ(number(*model.find("plan"), "weight_bytes"), number(json("plan --json"), "weight_bytes"));
  for (const char* absent : {"models/llama", "mamba.gguf", "./mamba2"}) {
    const Ran r = run(std::string("explain ") + absent);
    one_line(r, 1, absent);
    EXPECT_NE(r.err.find(std::string(absent) + ": no such file or folder"), std::string::npos) << r.err;
  }
  EXPECT_EQ(run("explain 'd=8 2*(atn + swiglu)'").err,
            "headrace: blueprint: character 8: 'atn' is no mixer; did you mean attn?\nd=8 2*(atn + swiglu)\n       ^\n");
  const Ran wrong = run("explain 'd=8 2*(atn + swiglu)' --json");
  EXPECT_EQ(wrong.code, 1);
  EXPECT_EQ(number(parse_json(wrong.out, "error"), "character"), 8);
  EXPECT_EQ(json("mixers --json").get<Array>()->size(), mixers().size());
  EXPECT_EQ(json("mixers --blueprints --json").get<Array>()->size(), named_blueprints().size());
  EXPECT_TRUE(*json("check 'd=16 vocab=9 attn + mamba' --tokens 20 --json").find("ok")->get<bool>());
  EXPECT_EQ(string(json("info mamba-tiny --json"), "blueprint"), "d=64 vocab=256  3*(mamba)");
  EXPECT_GT(json("doctor --json").find("advice")->get<Array>()->size(), 0u);
  ::setenv("HEADRACE_INSTRUCTIONS", "avx2", 1);
  EXPECT_EQ(string(json("doctor --json"), "instructions"), "avx2");
  ::setenv("HEADRACE_INSTRUCTIONS", "sse", 1);
  one_line(run("run -p Once -n 1"), 1, "unknown instructions");
  ::unsetenv("HEADRACE_INSTRUCTIONS");
  EXPECT_GT(json("op --list --json").get<Array>()->size(), 10u);
  const std::string op = fixtures + "ops/gla";
  ASSERT_EQ(run("op gla --in " + op + ".in.safetensors --params " + op + ".params.json --out o --form chunk").code, 0);
  EXPECT_TRUE(SafetensorsFile(at("o")).tensors().find("o"));
}

TEST_F(Cli, ExplainKnowsEveryLayerOfEveryFixture) {
  for (const auto& e : std::filesystem::directory_iterator(fixtures + "models")) {
    if (!e.is_directory()) continue;
    const Ran r = run("explain " + e.path().string());
    EXPECT_EQ(r.code, 0) << e.path() << r.err;
  }
}

TEST_F(Cli, CompletionAndManualAreWellFormed) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    std::ofstream(at("script")) << run(std::string("completion ") + shell).out;
    if (std::system((std::string("command -v ") + shell + " >/dev/null 2>&1").c_str()) != 0) continue;   // that shell is not here
    EXPECT_EQ(std::system((std::string(shell) + " -n '" + at("script") + "'").c_str()), 0) << shell;
  }
  std::ofstream(at("bash")) << run("completion bash").out;
  const std::string ask = "bash -c \"source '" + at("bash") + "'; COMP_WORDS=(headrace lo); COMP_CWORD=1; _headrace; echo \\${COMPREPLY[*]}; "
                          "COMP_WORDS=(headrace logits --form s); COMP_CWORD=3; _headrace; echo \\${COMPREPLY[*]}; "
                          "COMP_WORDS=(headrace state fo); COMP_CWORD=2; _headrace; echo \\${COMPREPLY[*]}; "
                          "COMP_WORDS=(headrace explain rwkv7-t); COMP_CWORD=2; _headrace; echo \\${COMPREPLY[*]}; "
                          "COMP_WORDS=(headrace explain mamba); COMP_CWORD=2; _headrace; echo \\${COMPREPLY[0]}; "
                          "COMP_WORDS=(headrace op gla); COMP_CWORD=2; _headrace; echo \\${COMPREPLY[0]}; "
                          "cd '" + folder_ + "'; COMP_WORDS=(headrace info my); COMP_CWORD=2; _headrace; "
                          "echo \\${#COMPREPLY[@]} \\${COMPREPLY[0]}\" > '" + at("answers") + "'";
  write("my model.gguf", "");
  ASSERT_EQ(std::system(ask.c_str()), 0);
  EXPECT_EQ(read_text(at("answers")), "logits\nstep\nfork\nrwkv7-tiny\nmamba\ngla\n1 my model.gguf\n");
  std::ofstream(at("page.1")) << run("man").out;
  if (std::system("command -v man >/dev/null 2>&1 && command -v troff >/dev/null 2>&1") == 0) {
    EXPECT_EQ(std::system(("LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings -E UTF-8 -l '" + at("page.1") + "' >/dev/null 2>'" + at("warnings")
        + "'").c_str()), 0);
    EXPECT_EQ(read_text(at("warnings")), "");
  }
}

TEST_F(Cli, TruncatedAndDamagedModelsAreNamedErrors) {
  const std::string good = fixtures + "models/llama";
  std::filesystem::create_directories(at("m"));
  const std::string weights = read_text(good + "/model.safetensors"), config = read_text(good + "/config.json");
  auto attempt = [&](const std::string& w, const std::string& c, const std::string& what) {
    std::ofstream(at("m/model.safetensors")) << w;
    std::ofstream(at("m/config.json")) << c;
    const Ran r = run("logits m --tokens in --out o");
    one_line(r, 1, what);
    EXPECT_NE(r.err.find("m"), std::string::npos);
  };
  tokens("in", {1, 2});
  for (size_t n : {size_t{0}, size_t{7}, size_t{100}, weights.size() / 2, weights.size() - 1})
    attempt(weights.substr(0, n), config, "weights cut to " + std::to_string(n));
  attempt(weights, config.substr(0, config.size() / 2), "a configuration cut off");
  attempt(weights, "{}", "an empty configuration");
  attempt(weights, R"({"model_type": "unheard-of"})", "an unknown family");
  const std::string gguf = read_text(fixtures + "gguf/llama.gguf");
  for (size_t n : {size_t{3}, size_t{30}, gguf.size() / 3, gguf.size() - 1}) {
    std::ofstream(at("m.gguf")) << gguf.substr(0, n);
    one_line(run("logits m.gguf --tokens in --out o"), 1, "gguf cut to " + std::to_string(n));
  }
}

// Killed at any moment, a writer leaves the file that was there, or the whole new one.
TEST_F(Cli, AKilledWriterLeavesTheOldFileOrTheNew) {
  ASSERT_EQ(run("state save stories260K -p Once --out s").code, 0);
  const std::string old = read_text(at("s"));
  auto killed_after = [&](int microseconds, std::vector<std::string> arguments) {
    const pid_t child = ::fork();
    if (child == 0) {
      std::vector<char*> argv{const_cast<char*>("headrace")};
      for (auto& a : arguments) argv.push_back(a.data());
      argv.push_back(nullptr);
      if (!std::freopen("/dev/null", "w", stdout) || !std::freopen("/dev/null", "w", stderr)) ::_exit(3);
      ::execv(HEADRACE_BINARY, argv.data());
      ::_exit(3);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
  };
  for (int i = 0; i < 25; ++i) {
    killed_after(500 + 700 * i, {"state", "save", "stories260K", "-p", "Once upon a time", "--out", at("s"), "--threads", "1"});
    const Ran r = run("state info s");
    EXPECT_EQ(r.code, 0) << r.err;
    killed_after(500 + 700 * i, {"quantize", fixtures + "gguf/llama.gguf", at("q.gguf"), "--type", "Q8_0"});
    if (file_exists(at("q.gguf"))) {
      EXPECT_EQ(run("info q.gguf").code, 0) << i;
    }
    std::filesystem::remove(at("q.gguf"));
  }
}

}  // namespace
