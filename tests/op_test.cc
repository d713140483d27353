// Every operator gives what the reference implementations give, in every form.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "error_of.h"
#include "io/safetensors.h"
#include "laws.h"
#include "run/op.h"

namespace headrace {
namespace {

const std::string folder = std::string(HEADRACE_ROOT) + "/tests/fixtures/ops/";

std::vector<std::string> cases() {
  std::vector<std::string> all;
  for (const auto& e : std::filesystem::directory_iterator(folder)) {
    const std::string file = e.path().filename().string();
    if (file.ends_with(".in.safetensors")) all.push_back(file.substr(0, file.size() - 15));
  }
  std::sort(all.begin(), all.end());
  return all;
}
std::map<std::string, Tensor> tensors_of(const std::string& file) {
  std::map<std::string, Tensor> all;
  const SafetensorsFile opened(file);
  for (const auto& [name, t] : opened.tensors()) all[name] = t;
  return all;
}

class Op : public testing::TestWithParam<std::string> {};
TEST_P(Op, GivesWhatTheReferenceGivesInEveryForm) {
  const std::string& c = GetParam();
  const std::string name = c.substr(0, c.find('@'));
  const auto in = tensors_of(folder + c + ".in.safetensors"), want = tensors_of(folder + c + ".expected.safetensors");
  const Value parameters = parse_json(read_text(folder + c + ".params.json"), c);
  for (const char* form : {"naive", "step", "chunk", "whole"}) {
    const auto got = run_op(name, in, parameters, op_form_from_name(form));
    for (const auto& [output, tensor] : want) {
      ASSERT_TRUE(got.contains(output)) << output << " is missing";
      if (tensor.dtype() == DType::i64) {
        const Tensor& g = got.at(output);
        EXPECT_TRUE(g.shape() == tensor.shape() && std::memcmp(g.raw(), tensor.raw(), tensor.bytes()) == 0) << output << ", form " << form;
        continue;
      }
      EXPECT_TRUE(close(got.at(output), tensor, output.starts_with("grad.") ? 1e-4 : 3e-5)) << output << ", form " << form;
    }
    EXPECT_EQ(got.size(), want.size()) << form;
  }
}
INSTANTIATE_TEST_SUITE_P(All, Op, testing::ValuesIn(cases()), [](const auto& info) {
  std::string n = info.param;
  std::replace(n.begin(), n.end(), '@', '_');
  return n;
});

// The gradients are the recurrence's, the values that they are held to the filter's.
TEST(Ops, S4sGradientsAreDifferencesOfItsFilter) {
  auto in = tensors_of(folder + "s4_dplr.in.safetensors");
  const Value parameters = parse_json(read_text(folder + "s4_dplr.params.json"), "s4_dplr");
  Random r(3);
  const Tensor d = r.whole(in.at("u").shape());
  auto with_gradient = in;
  with_gradient["d_o"] = d;
  for (const char* form : {"naive", "step", "chunk", "whole"}) {
    const auto got = run_op("s4_dplr", with_gradient, parameters, op_form_from_name(form));
    for (const char* input : {"u", "log_dt", "A", "B", "C", "P", "D"}) {
      const Tensor g = got.at(text("grad.", input)), kept = in.at(input);
      double want = 0;
      for (const float v : g.floats()) want += std::abs(double{v});
      const float step = 2e-3f / static_cast<float>(std::sqrt(g.count()));
      auto moved = [&](float by) {
        Tensor x = kept.contiguous_copy();
        for (int64_t i = 0; i < x.count(); ++i) x.f32()[i] += g.f32()[i] > 0 ? by : -by;
        in[input] = x;
        const Tensor o = run_op("s4_dplr", in, parameters, OpForm::naive, Device::cpu).at("o");
        in[input] = kept;
        double sum = 0;
        for (int64_t i = 0; i < o.count(); ++i) sum += double{o.f32()[i]} * d.f32()[i];
        return sum;
      };
      EXPECT_NEAR((moved(step) - moved(-step)) / (2 * double{step}), want, 0.01 * want) << input << ", form " << form;
    }
  }
  with_gradient.erase("d_o"), with_gradient["d_kernel"] = r.whole({1, in.at("u").dim(2), in.at("u").dim(1)});
  EXPECT_NE(error_of([&] { run_op("s4_dplr", with_gradient, parameters); }).find("the gradient from kernel is not computed"), std::string::npos);
}

TEST(Ops, AParameterThatNoneReadsIsRefusedAndTheKnownOnesNamed) {
  const Tensor x = Tensor::zeros({1, 2, 1, 4});
  const std::map<std::string, Tensor> qkv{{"q", x}, {"k", x}, {"v", x}};
  EXPECT_EQ(error_of([&] { run_op("linear_attn", qkv, Object{{"scal", 2}}); }),
            "op linear_attn: parameter scal is not known; did you mean scale? known: scale, normalize");
  EXPECT_EQ(error_of([&] { run_op("based", qkv, Object{{"eps", 2}}); }), "op based: parameter eps is not known; known: none");
  EXPECT_EQ(error_of([&] { run_op("based", qkv, Array{1}); }), "op based: parameters: wanted an object, found [1]");
  EXPECT_EQ(error_of([&] { run_op("attn_full", qkv, Object{{"scale", 2}}); }), "");
  for (const OpInfo& i : op_infos()) {
    const std::string said = error_of([&] { run_op(i.name, {}, Object{{"no_such", 1}}); });
    EXPECT_NE(said.find("parameter no_such is not known; known: "), std::string::npos) << i.name << ": " << said;
  }
}

TEST(Ops, EveryFixtureHasAnOperatorAndErrorsNameWhatIsWrong) {
  EXPECT_GE(op_infos().size(), 25u);
  EXPECT_NE(error_of([] { run_op("glaa", {}, {}); }).find("known: attn_causal"), std::string::npos);
  EXPECT_NE(error_of([] { run_op("gla", {{"q", Tensor::zeros({1, 2, 1, 4})}}, {}); }).find("missing inputs: k, v, gk"), std::string::npos);
  const Tensor x = Tensor::zeros({1, 2, 1, 4});
  EXPECT_NE(error_of([&] { run_op("linear_attn", {{"q", x}, {"k", x}, {"v", Tensor::zeros({1, 3, 1, 4})}}, {}); }).find(
                "op linear_attn: input v: wanted [B,T,H,V] = [1,2,1,V], found [1,3,1,4]"),
      std::string::npos);
  EXPECT_NE(error_of([&] { run_op("attn_sliding_window", {{"q", x}, {"k", x}, {"v", x}}, {}); }).find("parameter window is missing"),
      std::string::npos);
  EXPECT_NE(error_of([&] { run_op("linear_attn", {{"q", x}, {"k", x}, {"v", x}}, Object{{"scale", "big"}}); }).find("parameter scale"),
      std::string::npos);
}

TEST(Ops, AnInputOfAnotherShapeIsNamedWithWhatIsWantedAndFound) {
  const Tensor q = Tensor::zeros({1, 2, 1, 4}), v = Tensor::zeros({1, 2, 1, 3, 50});
  EXPECT_EQ(error_of([&] { run_op("linear_transformer_elu", {{"q", q}, {"k", q}, {"v", v}}, {}); }),
            "op linear_transformer_elu: input v: wanted [B,T,H,V] = [1,2,1,V], found [1,2,1,3,50]");
  auto lru = tensors_of(folder + "lru.in.safetensors");
  lru["theta_log"] = Tensor::zeros({3});
  EXPECT_EQ(error_of([&] { run_op("lru", lru, {}); }), "op lru: input theta_log: wanted [S] = [12], found [3]");
  auto ssd = tensors_of(folder + "mamba2_ssd.in.safetensors");
  ssd["x"] = Tensor::zeros({2, 64, 9, 2, 8});
  EXPECT_EQ(error_of([&] { run_op("mamba2_ssd", ssd, {}); }), "op mamba2_ssd: input x: wanted [B,T,H,P], found [2,64,9,2,8]");
  auto gates = tensors_of(folder + "rg_lru.in.safetensors");
  gates["input_gate_weight"] = Tensor::zeros({3, 8, 8});
  EXPECT_NE(error_of([&] { run_op("rg_lru", gates, {}); }).find("input_gate_weight: wanted [H,C/H,C/H] with C/H whole, found [3,8,8]"),
            std::string::npos);
  gates["input_gate_weight"] = Tensor::zeros({32});
  EXPECT_NE(error_of([&] { run_op("rg_lru", gates, {}); }).find("input_gate_weight: wanted [H,C/H,C/H]"), std::string::npos);
}
// A file of a few bytes may say any number of sequences of no tokens.
TEST(Ops, OfNothingAreAnError) {
  for (const Shape& none : {Shape{2, 0, 1, 4}, Shape{0, 2, 1, 4}, Shape{int64_t{1} << 50, 0, 1, 4}, Shape{1, 2, 0, 4}, Shape{1, 2, 1, 0}})
    for (const OpInfo& op : op_infos()) {
      std::map<std::string, Tensor> in;
      for (const char* name : {"q", "r", "x", "u"})
        if (std::string(op.inputs).starts_with(name)) in[name] = Tensor::zeros(none);
      for (const char* name : {"k", "v"}) in[name] = Tensor::zeros(none);
      for (const char* name : {"beta", "g"}) in[name] = Tensor::zeros({none[0], none[1], none[2]});
      EXPECT_NE(error_of([&] { run_op(op.name, in, Object{{"num_householder", 2}, {"window", 1}, {"half_window", 1}}); }), "") << op.name;
    }
  const Tensor x = Tensor::zeros({int64_t{1} << 50, 0, 1, 4});
  EXPECT_EQ(error_of([&] { run_op("attn_causal", {{"q", x}, {"k", x}, {"v", x}}, {}); }),
            "op attn_causal: input q: wanted [B,T,H,K] with B in 1..1073741824, found [1125899906842624,0,1,4]");
}
TEST(Ops, InputsThatNothingReadsAreAnError) {
  const Tensor x = Tensor::zeros({1, 2, 1, 4});
  const std::map<std::string, Tensor> in{{"q", x}, {"k", x}, {"v", x}};
  auto with = [&](const char* name) {
    auto more = in;
    more[name] = x;
    return error_of([&] { run_op("attn_causal", more, {}); });
  };
  EXPECT_EQ(error_of([&] { run_op("attn_causal", in, {}); }), "");
  EXPECT_NE(with("d_p").find("op attn_causal: input d_p: there is no output of that name"), std::string::npos);
  EXPECT_NE(with("h0").find("op attn_causal: input h0 is not known; it takes q [B,T,H,K]"), std::string::npos);
}
TEST(Ops, AttentionWantsOneSinkAndOneSlopeForEachHead) {
  const Tensor x = Tensor::zeros({3, 2, 4});
  const std::vector<int64_t> offsets{0, 3};
  auto run = [&](Attention o) { return error_of([&] { (void)attention(x, x, x, o, {.sequences = {offsets}, .values = {}}); }); };
  EXPECT_EQ(run({.sinks = Tensor::zeros({2}), .slopes = Tensor::zeros({2})}), "");
  EXPECT_EQ(run({.sinks = Tensor::zeros({1})}), "attention: sinks: wanted f32 [2], one for each head, in one piece on cpu, found f32 [1] on cpu");
  EXPECT_NE(run({.slopes = Tensor::zeros({2}, DType::bf16)}).find("slopes: wanted f32 [2]"), std::string::npos);
  EXPECT_NE(run({.slopes = Tensor::zeros({2, 2}).slice(1, 0, 1)}).find("slopes: wanted f32 [2]"), std::string::npos);
}

TEST(Ops, GatedDeltaProductWithOneStepIsTheGatedDeltaRule) {
  Random r(2);
  Tensor q = r.whole({2, 9, 2, 4}), k = r.whole({2, 9, 2, 4}), v = r.whole({2, 9, 2, 6});
  Tensor g = map(r.whole({2, 9, 2}), [](float x) { return -std::abs(x); }), beta = map(r.whole({2, 9, 2}), [](float) { return 0.2f; });
  const std::map<std::string, Tensor> in{{"q", q}, {"k", k}, {"v", v}, {"g", g}, {"beta", beta}};
  EXPECT_TRUE(same_bits(run_op("gated_delta_product", in, Object{{"num_householder", 1}}).at("o"), run_op("gated_delta_rule", in, {}).at("o")));
}

// Answers are at most quadratic in one gate: three values of it give the derivative at any.
void expect_gates_gradient(const std::string& op, std::map<std::string, Tensor> in, const char* gate) {
  const Tensor kept = in.at(gate), d = Random(5).whole(run_op(op, in, {}).at("o").shape());
  Tensor want = Tensor::empty(kept.shape());
  for (int64_t i = 0; i < kept.count(); ++i) {
    double value[3];
    for (int at = 0; at < 3; ++at) {
      Tensor x = kept.contiguous_copy();
      x.f32()[i] = static_cast<float>(at) / 2;
      in[gate] = x;
      const Tensor o = run_op(op, in, {}, OpForm::naive).at("o");
      value[at] = 0;
      for (int64_t j = 0; j < o.count(); ++j) value[at] += double{o.f32()[j]} * d.f32()[j];
    }
    want.f32()[i] = static_cast<float>(4 * value[1] - 3 * value[0] - value[2] + 4 * double{kept.f32()[i]} * (value[0] - 2 * value[1] + value[2]));
  }
  in[gate] = kept, in["d_o"] = d;
  for (const char* form : {"naive", "step", "chunk", "whole"})
    EXPECT_TRUE(close(run_op(op, in, {}, op_form_from_name(form)).at(text("grad.", gate)), want, 1e-3)) << op << ", form " << form;
}
TEST(Ops, GradientsOfGatesAreRightWhereGatesAreSmallOrShut) {
  Random r(4);
  const Tensor q = r.whole({1, 40, 2, 3}), k = r.whole({1, 40, 2, 3}), v = r.whole({1, 40, 2, 2});
  const auto drawn = [&](std::vector<float> of) {
    return map(r.whole({1, 40, 2, 3}), [&](float) { return of[static_cast<size_t>(r.below(std::ssize(of)))]; });
  };
  for (const auto& gates : {std::vector<float>{0, 0.5f, 1, 0.999f}, {1e-6f, 0.5f, 1, 0.999f}, {3e-7f, 2e-7f}, {0}}) {
    expect_gates_gradient("hgrn2", {{"q", q}, {"v", v}, {"f", drawn(gates)}}, "f");
    expect_gates_gradient("regla_core", {{"q", q}, {"k", k}, {"v", v}, {"g", drawn(gates)}, {"rg", drawn({0.3f, 0.7f, 1})}}, "g");
  }
}
TEST(Ops, GatesBeyondOneOrNotNumbersAreRefused) {
  const Tensor x = Tensor::zeros({1, 2, 1, 2});
  for (const float bad : {-0.25f, 1.5f, NAN, HUGE_VALF}) {
    const Tensor gate = Tensor::from({0, 1, bad, 0.5f}).view({1, 2, 1, 2});
    const std::string said = text(" holds ", bad, ", wanted numbers in 0..1");
    EXPECT_EQ(error_of([&] { run_op("hgrn2", {{"q", x}, {"f", gate}, {"v", x}}, {}); }), "op hgrn2: input f" + said);
    EXPECT_EQ(error_of([&] { run_op("regla_core", {{"q", x}, {"k", x}, {"v", x}, {"g", gate}, {"rg", x}}, {}); }), "op regla_core: input g" + said);
    EXPECT_EQ(error_of([&] { run_op("regla_core", {{"q", x}, {"k", x}, {"v", x}, {"g", x}, {"rg", gate}}, {}); }), "op regla_core: input rg" + said);
  }
}

// An operator's first fixture with a parameter or an input of another value.
std::string changed(const std::string& name, const Object& parameters, const std::map<std::string, Tensor>& inputs = {}) {
  const std::vector<std::string> all = cases();
  const std::string& c = *std::find_if(all.begin(), all.end(), [&](const std::string& x) { return x.substr(0, x.find('@')) == name; });
  Value value = parse_json(read_text(folder + c + ".params.json"), c);
  Object merged = value.is_null() ? Object{} : *value.get<Object>();
  for (const auto& [key, v] : parameters) merged[key] = v;
  auto in = tensors_of(folder + c + ".in.safetensors");
  for (const auto& [key, t] : inputs) in[key] = t;
  return error_of([&] { run_op(name, in, merged); });
}
TEST(Ops, ParametersThatTheInputsContradictAreRefused) {
  const auto refused = [](const std::string& name, const char* key, const Value& v) {
    EXPECT_TRUE(changed(name, {{key, v}}).starts_with("op " + name + ": parameter " + key)) << name << ": " << changed(name, {{key, v}});
    EXPECT_EQ(changed(name, {}), "") << name;
  };
  refused("hyena", "order", 7), refused("h3", "head_dim", 9), refused("performer_relu", "kernel", "exp"), refused("linformer", "k", 5);
  refused("linformer", "seq_len", 999), refused("log_linear_attn", "levels", 3), refused("s4d", "d_state", 6);
  refused("delta_rule_neg_eigval", "allow_neg_eigval", false), refused("titans_neural_memory", "dim_head", 99);
  for (const char* key : {"state", "dt_rank", "conv"}) refused("hymba_block", key, 99);
  refused("hymba_block", "rope_base", 0), refused("hymba_block", "rope_base", -2), refused("dsla", "gate_logit_normalizer", 0);
  refused("dsla", "gate_logit_normalizer", -16), refused("attn_softcap_sink_alibi", "cap", -1), refused("attn_sliding_window", "window", 0);
  refused("gla", "scale", 1e300), refused("gla", "scale", NAN), refused("attn_causal", "scale", -1e39);
  refused("local_attention_blocks", "look_backward", int64_t{1} << 39);
  refused("titans_neural_memory", "qk_rmsnorm", true), refused("titans_neural_memory", "clip", -1), refused("titans_linear_memory", "clip", 1e-9);
}
TEST(Ops, InputsOutOfRangeOrWithoutTheirLayerAreRefused) {
  Tensor alpha = tensors_of(folder + "attn_entmax.in.safetensors").at("alpha").contiguous_copy();
  alpha.f32()[0] = 0.5f;
  EXPECT_EQ(changed("attn_entmax", {}, {{"alpha", alpha}}), "op attn_entmax: input alpha holds 0.5, wanted at least 1");
  for (const char* name : {"gru", "lstm"}) {
    const Tensor w = tensors_of(folder + name + "@two_layers.in.safetensors").at("weight_hh_l0");
    EXPECT_EQ(changed(name, {}, {{"weight_hh_l3", w}, {"weight_ih_l3", w}}),
              text("op ", name, ": input weight_ih_l3: weight_ih_l", changed(name, {{"layers", 1}}) == "" ? 1 : 2, " is missing"));
  }
}
// softmax(0) is uniform, and softmax(-s) is that of turned queries.
TEST(Ops, AScaleOfZeroOrLessIsTakenAsItIs) {
  Random r(8);
  const Tensor q = r.whole({1, 20, 2, 4}), k = r.whole({1, 20, 2, 4}), v = r.whole({1, 20, 2, 3}), gates = Tensor::zeros({1, 20, 2});
  const Tensor none = Tensor::zeros(q.shape()), turned = map(q.contiguous_copy(), [](float x) { return -x; });
  std::map<std::string, Tensor> in{{"k", k}, {"v", v}};
  for (const char* name : {"attn_causal", "attn_full", "forgetting_attn", "attn_softcap_sink_alibi", "attn_entmax", "nsa"}) {
    auto given = in;
    if (name == std::string("forgetting_attn")) given["g"] = gates;
    if (name == std::string("attn_entmax")) given["alpha"] = Tensor::from({1.5f, 1.2f});
    Object parameters;
    if (name == std::string("nsa")) {
      parameters = {{"block_size", 4}, {"block_counts", 2}, {"window_size", 4}};
      for (const char* gate : {"g_cmp", "g_slc", "g_swa"}) given[gate] = map(gates.contiguous_copy(), [](float) { return 0.5f; });
    }
    const auto run = [&](const Tensor& queries, float scale) {
      given["q"] = queries, parameters["scale"] = scale;
      return run_op(name, given, parameters).at("o");
    };
    EXPECT_TRUE(close(run(q, 0), run(none, 1), 1e-6)) << name;
    EXPECT_TRUE(close(run(q, -0.7f), run(turned, 0.7f), 1e-5)) << name;
  }
}

}  // namespace
}  // namespace headrace
