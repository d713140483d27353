// Finding the operator, its shapes checked against its entry (op_shapes.h), run and differentiated: gradients are the tape's, for
// those outputs whose d_<output> the caller gave.
#include "run/op.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"
#include "nn/config.h"
#include "ops/kernels.h"
#include "ops/tape.h"
#include "run/op_call.h"
#include "run/op_shapes.h"
#include "tensor/blocks.h"

namespace headrace {
namespace {

const std::vector<const op::Entry*>& entries() {
  static const std::vector<const op::Entry*> all = [] {
    std::vector<const op::Entry*> v;
    for (auto family : {op::attention_entries(), op::linear_scan_entries(), op::diag_scan_entries(), op::conv_entries(),
                        op::feature_map_entries(), op::layer_entries(), op::memory_entries()})
      for (const op::Entry& e : family) v.push_back(&e);
    return v;
  }();
  return all;
}

Tensor as_f32(const std::string& op, const std::string& key, const Tensor& t) {
  expect(is_float(t.dtype()) && t.device() == Device::cpu, "op ", op, ": ", key, " is ", t.dtype(), ", wanted f32");
  return dequantised(t);
}

// What the reference implementations' parameter files say too. It changes no value; what it says of shapes is held to the inputs' where an
// operator asks (Call::check_says).
constexpr std::pair<const char*, const char*> implied[] = {
    {"delta_rule_neg_eigval", "allow_neg_eigval"}, {"entmax", "n_iter"}, {"gsa", "slots"}, {"h3", "head_dim; d_state"},
    {"hyena", "order; filter_order; emb_dim; parameters"}, {"linformer", "k; seq_len"}, {"log_linear_attn", "levels"}, {"mamba2_ssd", "chunk"},
    {"performer_relu", "kernel"}, {"s4_dplr", "d_state; l_max"}, {"s4d", "d_state"}, {"slstm", "checked_against_package"},
    {"titans_neural_memory", "params"}};

// A name that no operator reads would leave the default in its place without a word.
void check_parameters(const OpInfo& info, const Value& parameters) {
  if (parameters.is_null()) return;
  const Object* given = parameters.get<Object>();
  expect(given, "op ", info.name, ": parameters: wanted an object, found ", to_json(parameters).substr(0, 80));
  std::string list = info.parameters;
  for (const auto& [op, names] : implied)
    if (std::string_view(op) == info.name) list += std::string(list.empty() ? "" : "; ") + names;
  std::vector<std::string> known;
  for (size_t at = 0; at < list.size();) {               // "NAME; NAME = DEFAULT"
    const size_t end = std::min(list.find(';', at), list.size());
    const size_t first = std::min(list.find_first_not_of(' ', at), end);
    known.push_back(list.substr(first, std::min(list.find_first_of(" =", first), end) - first));
    at = end + 1;
  }
  for (const auto& [key, value] : *given) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    fail("op ", info.name, ": parameter ", quoted(key.substr(0, 80)), " is not known; ", did_you_mean(key, known), "known: ",
         known.empty() ? "none" : listed(known));
  }
}

// The gradients of every input, given those of some outputs.
void add_gradients(const std::string& name, Tape& tape, const op::Named& in, const op::Named& d, op::Named& out) {
  for (const auto& [output, dy] : d) {
    auto y = out.find(output);
    expect(y != out.end(), "op ", name, ": input d_", output, ": there is no output of that name");
    expect(y->second.shape() == dy.shape(), "op ", name, ": input d_", output, ": wanted ", y->second.shape(), ", found ", dy.shape());
    expect(tape.tracks(y->second), "op ", name, ": the gradient from ", output, " is not computed by this version");
    tape.seed(y->second, dy);
  }
  tape.backward();
  for (const auto& [key, x] : in) {
    Tensor g = tape.gradient(x);
    out["grad." + key] = g ? g : Tensor::zeros(x.shape());
  }
}

}  // namespace

std::span<const OpInfo> op_infos() {
  static const std::vector<OpInfo> all = [] {
    std::vector<OpInfo> infos;
    for (const op::Entry* e : entries()) infos.push_back(e->info);
    return infos;
  }();
  return all;
}

OpForm op_form_from_name(const std::string& name) {
  if (name == "naive") return OpForm::naive;
  if (name == "step") return OpForm::step;
  if (name == "chunk") return OpForm::chunk;
  if (name == "whole") return OpForm::whole;
  fail("form '", name, "' is not known; known: naive, step, chunk, whole");
}

std::map<std::string, Tensor> run_op(const std::string& name, const std::map<std::string, Tensor>& in, const Value& parameters,
                                     OpForm form, Device device) {
  std::vector<std::string> names;
  for (const op::Entry* e : entries()) {
    names.emplace_back(e->info.name);
    if (name != e->info.name) continue;
    check_parameters(e->info, parameters);
    Sizes sizes;
    if (const Value* n = parameters.find("num_householder")) {
      int64_t& steps = sizes["n"];
      expect(read_value(*n, steps) && steps >= 1 && steps <= (1 << 20), "op ", name, ": parameter num_householder = ", to_json(*n).substr(0, 80),
             ", wanted a count of 1 to ", 1 << 20);
    }
    std::map<std::string, Tensor> given = in;
    op::Named d, inputs;
    for (const auto& [key, t] : in)
      if (key.starts_with("d_")) d[key.substr(2)] = as_f32(name, key, t), given.erase(key);
    sizes = check_inputs(name, e->info.inputs, given, sizes);
    for (const auto& [key, t] : given) inputs[key] = as_f32(name, key, t);
    std::optional<Tape> tape;
    if (!d.empty()) {
      expect(device == Device::cpu, "op ", name, ": gradients are computed on the cpu, not on ", device);
      tape.emplace();
      for (const auto& [key, t] : inputs) tape->watch(t);
    }
    std::optional<UseNaive> definitions;
    if (form == OpForm::naive) {
      expect(device == Device::cpu, "op ", name, ": the definitions run on the cpu, not on ", device);
      definitions.emplace();
    }
    op::Call c{.name = name, .in = inputs, .parameters = parameters, .form = form, .device = device, .B = sizes.at("B"), .T = sizes.at("T")};
    e->run(c);
    if (tape) add_gradients(name, *tape, inputs, d, c.out);
    return std::move(c.out);
  }
  fail("operator '", quoted(name), "' is not known; ", did_you_mean(name, names), "known: ", listed(names));
}

}  // namespace headrace
