// Saved states against the model they claim, sessions that reuse a prefix, stop strings, and the sampler against its definition.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "error_of.h"
#include "io/safetensors.h"
#include "run/load.h"
#include "run/session.h"

using namespace headrace;

namespace {

Loaded fixture(const std::string& name) { return open_model(HEADRACE_ROOT "/tests/fixtures/models/" + name); }
std::string scratch(const char* name) { return testing::TempDir() + "headrace-" + std::to_string(::getpid()) + "-" + name; }
std::vector<int32_t> tokens(int n) {
  std::vector<int32_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back((i * 7 + 3) % 64);
  return ids;
}
// A saved state of a model, as bytes.
std::string saved_bytes(const Loaded& m, int n) {
  State s;
  feed(m.model.decoder, tokens(n), s);
  const std::string path = scratch("bytes.safetensors");
  save_state(path, s, identity(m), tokens(n), {{"note", "kept"}});
  std::string bytes = read_text(path);
  ::unlink(path.c_str());
  return bytes;
}
SavedState read(const std::string& bytes, bool verify = true) { return read_state(std::as_bytes(std::span(bytes)), "state", verify); }

TEST(StateFile, GivesBackStateHistoryAndNotes) {
  for (const char* name : {"llama", "mistral", "rwkv7"}) {
    Loaded m = fixture(name);
    State s;
    feed(m.model.decoder, tokens(150), s);
    const std::string path = scratch("round.safetensors");
    save_state(path, s, identity(m), tokens(150), {{"note", "kept"}});
    SavedState back = read_state(path);
    bind_state(back, identity(m), m.model.decoder, path);
    ::unlink(path.c_str());
    EXPECT_EQ(back.state.tokens, 150);
    EXPECT_EQ(back.history, tokens(150));
    EXPECT_EQ(back.notes.at("note"), "kept");
    for (const auto& d : differences(s, back.state)) EXPECT_TRUE(d.equal) << name << " layer " << d.layer << " " << d.slot << " " << d.note;
    EXPECT_EQ(s.bytes(), back.state.bytes()) << name;
  }
}

TEST(StateFile, OfAnotherModelIsRefusedByName) {
  Loaded llama = fixture("llama"), mistral = fixture("mistral");
  SavedState s = read(saved_bytes(llama, 20));
  const std::string message = error_of([&] { bind_state(s, identity(mistral), mistral.model.decoder, "x.state"); });
  EXPECT_NE(message.find("x.state: this state belongs to 'llama' ('llama', hash"), std::string::npos) << message;
  EXPECT_NE(message.find("not to mistral (mistral, hash"), std::string::npos) << message;
}

// The same names, shapes and configuration: a fine-tuned matrix, of which only numbers in the middle differ.
TEST(StateFile, OfAModelThatDiffersInAnyWeightIsRefused) {
  const std::string folder = scratch("tuned"), from = HEADRACE_ROOT "/tests/fixtures/models/llama";
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(from + "/config.json", folder + "/config.json", std::filesystem::copy_options::overwrite_existing);
  const TensorFile original = open_tensors(from);
  Loaded llama = fixture("llama");
  for (const bool changed : {false, true}) {
    std::vector<NamedTensor> tensors;
    for (const auto& [name, t] : original) {
      Tensor copy = t.contiguous_copy();
      if (changed && name.ends_with("down_proj.weight")) copy.data<std::byte>()[copy.bytes() / 3] ^= std::byte{1};
      tensors.emplace_back(name, copy);
    }
    write_safetensors(folder + "/model.safetensors", tensors);
    Loaded tuned = open_model(folder);
    SavedState s = read(saved_bytes(llama, 20));
    const std::string message = error_of([&] { bind_state(s, identity(tuned), tuned.model.decoder, "x.state"); });
    EXPECT_EQ(message.find("x.state: this state belongs to 'llama'") == 0, changed) << message;
    EXPECT_EQ(tuned.hash() == llama.hash(), !changed);
  }
  std::filesystem::remove_all(folder);
}

TEST(StateFile, WithTheRightHashButWrongSlotsIsRefused) {
  Loaded llama = fixture("llama"), qwen = fixture("qwen3"), rwkv = fixture("rwkv7");
  for (const Loaded* other : {&qwen, &rwkv}) {
    SavedState s = read(saved_bytes(llama, 20));
    s.model.hash = other->hash();
    EXPECT_NE(error_of([&] { bind_state(s, identity(*other), other->model.decoder, "x.state"); }).find("x.state: "), std::string::npos);
  }
}

TEST(StateDifference, OfKeysOfDifferentLengthsIsThatOfThePagesFullInBoth) {
  Loaded m = fixture("llama");
  State a, b, c, d;
  feed(m.model.decoder, tokens(150), a);
  feed(m.model.decoder, tokens(100), b);
  auto other = tokens(100);
  other[5] ^= 1;
  feed(m.model.decoder, other, c);
  feed(m.model.decoder, tokens(20), d);
  int slots = 0;
  for (const auto& x : differences(a, b))
    if (x.layer >= 0) {
      ++slots;
      EXPECT_FALSE(x.equal);
      EXPECT_GT(x.compared, 0);
      EXPECT_LT(x.worst, 1e-4);                    // the same tokens, read in other pieces
      EXPECT_NE(x.note.find("of 150 tokens"), std::string::npos) << x.note;
    }
  EXPECT_GT(slots, 0);
  for (const auto& x : differences(a, c)) EXPECT_TRUE(x.layer < 0 || x.worst > 1e-3);
  for (const auto& x : differences(a, d)) EXPECT_TRUE(x.layer < 0 || x.compared == 0);   // no page is full in both
}

TEST(StateDifference, SeesLogitsThatOneOfThemLacksAndWhatIsNoNumber) {
  Loaded m = fixture("rwkv7");
  State a;
  feed(m.model.decoder, tokens(20), a);
  State b = a;
  b.last_logits = {};
  for (const auto& [x, y] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    const SlotDifference last = differences(*x, *y).back();
    EXPECT_EQ(last.slot, "last_logits");
    EXPECT_FALSE(last.equal);
    EXPECT_EQ(last.compared, 0);
  }
  State nan = a;
  nan.last_logits = a.last_logits.contiguous_copy();
  nan.last_logits.f32()[3] = NAN;
  const SlotDifference other = differences(a, nan).back(), same = differences(nan, nan).back();
  EXPECT_FALSE(other.equal);
  EXPECT_EQ(other.worst, INFINITY);
  EXPECT_EQ(other.relative, INFINITY);
  EXPECT_TRUE(same.equal);
  EXPECT_EQ(same.worst, 0);
}

TEST(StateFile, CutOffAnywhereIsAnError) {
  const std::string bytes = saved_bytes(fixture("rwkv7"), 3);
  for (size_t n = 0; n < bytes.size(); n += n < 3000 ? 13 : 997) EXPECT_THROW(read(bytes.substr(0, n)), Error) << n;
}

TEST(StateFile, WithAnyByteChangedIsAnError) {
  const std::string bytes = saved_bytes(fixture("llama"), 3);
  for (size_t i = 0; i < bytes.size(); i += 101) {
    std::string broken = bytes;
    broken[i] ^= 4;
    EXPECT_THROW(read(broken), Error) << i;
  }
}

// Lies that a checksum cannot tell, because a forger would recompute it.
TEST(StateFile, ThatLiesIsAnErrorThatNamesTheTensor) {
  auto state = [](std::vector<NamedTensor> tensors, const std::string& count) {
    const std::string path = scratch("lie.safetensors");
    write_safetensors(path, tensors, {{"format", "headrace-state-1"}, {"model", "m"}, {"family", "f"}, {"hash", "h"}, {"blueprint", "b"},
                                      {"dtype", "f32"}, {"tokens", count}, {"checksum", "none"}});
    std::string bytes = read_text(path);
    ::unlink(path.c_str());
    return error_of([&] { read(bytes, false); });
  };
  auto span = [](int64_t length, int64_t first) {
    const int64_t v[] = {length, first};
    return Tensor::from(std::span<const int64_t>(v), {2});
  };
  const Tensor page = Tensor::zeros({1, 128});
  EXPECT_EQ(state({{"layers.0.kv.pages", page}, {"layers.0.kv.span", span(3, 0)}}, "3"), "");
  EXPECT_NE(state({{"layers.0.kv.pages", page}, {"layers.0.kv.span", span(3, 0)}}, "4").find("layers.0.kv.pages"), std::string::npos);
  EXPECT_NE(state({{"layers.0.kv.pages", page}, {"layers.0.kv.span", span(3, -1)}}, "3").find("layers.0.kv.pages"), std::string::npos);
  EXPECT_NE(state({{"layers.0.kv.pages", page}, {"layers.0.kv.span", span(300, 0)}}, "300").find("layers.0.kv.pages"), std::string::npos);
  EXPECT_NE(state({{"layers.0.kv.pages", page}, {"layers.0.kv.span", span(int64_t{1} << 39, (int64_t{1} << 33) - 1)}},
      "549755813888").find("pages left out"), std::string::npos);
  EXPECT_NE(state({{"layers.0.kv.pages", page}}, "3").find("span"), std::string::npos);
  EXPECT_NE(state({{"layers.0.kv.span", span(3, 0)}}, "3").find("pages"), std::string::npos);
  EXPECT_NE(state({{"layers.99999999.h", page}}, "3").find("layer below"), std::string::npos);
  EXPECT_NE(state({{"layers.0.../x", page}}, "3").find("wanted layers.L.SLOT"), std::string::npos);
  EXPECT_NE(state({{"history", span(1, 2)}}, "3").find("history"), std::string::npos);
  EXPECT_NE(state({{"last_logits", span(1, 2)}}, "2").find("last_logits"), std::string::npos);
  EXPECT_NE(state({}, "-3").find("tokens"), std::string::npos);
  EXPECT_NE(state({}, "many").find("tokens"), std::string::npos);
}

TEST(Attention, RefusesAStateThatLacksKeysItsWindowSees) {
  Loaded m = fixture("mistral");
  State s;
  feed(m.model.decoder, tokens(70), s);
  for (auto& l : s.layers)
    for (auto& v : l.values)
      if (!v.pages.empty()) v.pages.front() = {}, v.pages.back() = {};
  const int32_t id = 1;
  EXPECT_THROW(feed(m.model.decoder, {&id, 1}, s), Error);
}

TEST(StateFile, ThatLacksKeysIsRefusedWhenItIsBoundAndByItsName) {
  for (const char* name : {"llama", "mistral"}) {
    Loaded m = fixture(name);
    for (const bool last : {false, true}) {
      SavedState s = read(saved_bytes(m, 200));
      for (auto& l : s.state.layers)
        for (auto& v : l.values)
          if (!v.pages.empty()) (last ? v.pages.back() : v.pages.front()) = {};
      const std::string message = error_of([&] { bind_state(s, identity(m), m.model.decoder, "x.state"); });
      if (last || name == std::string("llama")) EXPECT_TRUE(message.starts_with("x.state: ")) << name << " " << message;
      else EXPECT_EQ(message, "");                 // a window has let its early keys go
    }
  }
}

TEST(StateFile, OfALongConvolutionMustSayATimeInItsRing) {
  Loaded m = open_blueprint("d=8 vocab=64 hyena(length=5, filter=4)");
  for (const float lie : {NAN, 1e30f, -1e30f, 1.f, -0.5f}) {
    SavedState s = read(saved_bytes(m, 20));
    int told = 0;
    for (auto& l : s.state.layers)
      for (int i = 0; i < State::slots_per_layer; ++i)
        if (l.names[i] && std::string(l.names[i]).starts_with("conv")) l.values[i].value.f32()[0] = lie, ++told;
    EXPECT_GT(told, 0);
    const std::string message = error_of([&] { bind_state(s, identity(m), m.model.decoder, "x.state"); });
    EXPECT_TRUE(message.starts_with("x.state: long_conv: state ")) << lie << " " << message;
  }
}

TEST(Session, ReusesTheLongestPrefixAndAnswersAsIfNew) {
  for (const char* name : {"llama", "mistral", "rwkv7"}) {
    Loaded m = fixture(name);
    Session session(m.model.decoder);
    auto first = tokens(140), second = first;
    session.become(std::span(first).first(100));
    session.mark();
    session.become(first);
    second[120] ^= 1;
    const auto change = session.become(second);
    EXPECT_GE(change.reused, 100) << name;
    EXPECT_EQ(change.reused + change.fed, 140);
    State alone;
    feed(m.model.decoder, second, alone);
    for (int i = 0; i < 64; ++i) EXPECT_NEAR(session.logits()[i], alone.last_logits.f32()[i], 1e-4) << name;
    EXPECT_EQ(session.become(second).fed, 0);
    const auto shorter = session.become(std::span(second).first(90));
    EXPECT_TRUE(shorter.complete);
    EXPECT_EQ(session.state().tokens, 90);
  }
}

TEST(Session, StopsBetweenChunksAndKeepsWhatItRead) {
  Loaded m = fixture("llama");
  Session session(m.model.decoder, 16);
  const auto change = session.become(tokens(100), [](int64_t done) { return done < 32; });
  EXPECT_FALSE(change.complete);
  EXPECT_EQ(session.state().tokens, 32);
  EXPECT_EQ(session.become(tokens(100)).reused, 32);
}

TEST(StopFilter, HoldsBackWhatMayBecomeAStopString) {
  StopFilter f({"</end>", "STOP"});
  EXPECT_EQ(f.next("hello <"), "hello ");
  EXPECT_EQ(f.next("/e"), "");
  EXPECT_EQ(f.next("at> S"), "</eat> ");
  EXPECT_EQ(f.next("T"), "");
  EXPECT_EQ(f.next("OP and more"), "");
  EXPECT_TRUE(f.stopped());
  EXPECT_EQ(f.flush(), "");
  StopFilter g({"ab"});
  EXPECT_EQ(g.next("xa"), "x");
  EXPECT_EQ(g.flush(), "a");
}

TEST(Sampler, TakesTheLikeliestAtTemperatureZero) {
  const std::vector<float> logits{0, 3, 3, -1};
  EXPECT_EQ(Sampler({.temperature = 0}).next(logits, {}), 1);
  EXPECT_EQ(Sampler({.temperature = 0, .repetition = 2}).next(logits, std::vector<int32_t>{1}), 2);
  EXPECT_EQ(Sampler({.temperature = 0, .presence = 10}).next(logits, std::vector<int32_t>{1, 2}), 0);
}

TEST(Sampler, RefusesLogitsOfWhichOneIsNoNumber) {
  for (size_t n : {3, 512, 1500})
    for (size_t at : {size_t{0}, n / 2, n - 1}) {
      std::vector<float> logits(n, 1);
      logits[n / 3] = -INFINITY;
      EXPECT_NO_THROW(likeliest(logits));
      logits[at] = NAN;
      EXPECT_THROW(likeliest(logits), Error);
      EXPECT_THROW(top_log_probabilities(logits, 2), Error);
      EXPECT_THROW(Sampler({.temperature = 1}).next(logits, {}), Error);
    }
}
TEST(Sampler, DrawsFromTheSoftmaxWithinItsCuts) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  auto shares = [&](SampleOptions o) {
    o.seed = 7;
    Sampler s(o);
    std::vector<double> n(4);
    for (int i = 0; i < 20000; ++i) n[static_cast<size_t>(s.next(logits, {}))] += 1.0 / 20000;
    return n;
  };
  auto all = shares({.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0});
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(all[i], std::exp(logits[i]), 0.015);
  auto k = shares({.temperature = 1, .top_k = 2, .top_p = 1, .min_p = 0});
  EXPECT_NEAR(k[0], 0.625, 0.015);
  EXPECT_EQ(k[2], 0);
  auto p = shares({.temperature = 1, .top_k = 0, .top_p = 0.7, .min_p = 0});
  EXPECT_NEAR(p[0], 0.625, 0.015);
  EXPECT_EQ(p[2], 0);
  auto m = shares({.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0.2});
  EXPECT_GT(m[2], 0.1);
  EXPECT_EQ(m[3], 0);
  auto cold = shares({.temperature = 0.5, .top_k = 0, .top_p = 1, .min_p = 0});
  EXPECT_NEAR(cold[0], 0.25 / (0.25 + 0.09 + 0.0225 + 0.0025), 0.015);
}

TEST(Sampler, GivesTheSameTokensForTheSameSeed) {
  std::vector<float> logits(100);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 7);
  auto draw = [&](uint64_t seed) {
    Sampler s({.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .seed = seed});
    std::vector<int32_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(s.next(logits, ids));
    return ids;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

TEST(Sampler, RefusesWhatHasNoMeaning) {
  EXPECT_THROW(Sampler({.temperature = -1}), Error);
  EXPECT_THROW(Sampler({.top_p = 0}), Error);
  EXPECT_THROW(Sampler({.min_p = 2}), Error);
  EXPECT_THROW(Sampler({.repetition = 0}), Error);
  EXPECT_THROW(likeliest(std::vector<float>{NAN, NAN}), Error);
}

TEST(LogProbability, IsTheModelsOwnAndSumsToOne) {
  const std::vector<float> logits{1, 2, 3, -INFINITY};
  double sum = 0;
  for (int i = 0; i < 4; ++i) sum += std::exp(log_probability(logits, i));
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_EQ(top_log_probabilities(logits, 2)[0].id, 2);
}

}  // namespace
