// Costs by running the mixer on the meta device under a meter, and a reader of the orders that a MixerDoc states.
#include "mixers/cost.h"

#include <cctype>
#include <cmath>

#include "base/error.h"
#include "nn/init.h"
#include "ops/meter.h"
#include "ops/tape.h"

namespace headrace {

bool decodes(const MixerInfo& mixer) { return std::string_view(mixer.doc->decode).starts_with("O("); }

MixerCost cost_of(const MixerInfo& mixer, const Place& at, std::span<const Setting> given, int64_t tokens) {
  MixerCost cost;
  // What sees later tokens may choose by their values (Reformer's buckets): it has to be computed.
  const Device device = decodes(mixer) ? Device::meta : Device::cpu;
  auto source = initialised({.device = device});
  const Scope s = Scope(source) / "mixer";
  const Sublayer f = mixer.bind(s, at, given);
  for (const Parameter& p : source->parameters) cost.parameters += p.shape.count();
  auto rows = [&](int64_t n) {
    const Tensor x = Tensor::empty({n, at.width}, DType::f32, device);
    if (device == Device::cpu) Init::normal(1).fill(x, {.seed = 1});
    return x;
  };
  auto run = [&](int64_t n, State* state) {
    Batch batch;
    batch.add(n, state);
    Meter meter;
    f(rows(n), {&batch});
    if (state) state->tokens += n;
    return meter.flops();
  };
  cost.prefill = run(tokens, nullptr);
  if (decodes(mixer)) {
    State state;
    run(tokens, &state);
    cost.state_bytes = state.bytes();
    cost.decode = run(1, &state);
  }

  Tape tape;
  for (const Parameter& p : source->parameters) tape.watch(p.value);
  Batch batch;
  batch.add(tokens);
  Meter meter;
  const Sublayer again = mixer.bind(s, at, given);       // with what it derives on the tape
  const Tensor y = again(rows(tokens), {&batch});
  tape.backward(y, rows(tokens));
  cost.training = meter.flops();
  return cost;
}

namespace {

// sum := product { +|- product },  product := power { [/] power },  power := one [ ^ NUMBER ]
// one := NUMBER | WORD | ( sum ) | log [ ^ NUMBER ] one | sqrt one
struct OrderText {
  std::string_view rest;
  const std::map<std::string, double, std::less<>>& letters;

  char next() {
    while (rest.starts_with(' ') || rest.starts_with('|')) rest.remove_prefix(1);
    return rest.empty() ? ')' : rest[0];
  }
  std::string_view take(int (*belongs)(int)) {
    size_t n = 0;
    while (n < rest.size() && belongs(static_cast<unsigned char>(rest[n]))) ++n;
    const std::string_view taken = rest.substr(0, n);
    rest.remove_prefix(n);
    return taken;
  }
  double number() {
    double n = 0;
    for (char c : take(std::isdigit)) n = 10 * n + (c - '0');
    return n;
  }
  double exponent() {
    if (next() != '^') return 1;
    rest.remove_prefix(1);
    return number();
  }
  double one() {
    if (std::isdigit(static_cast<unsigned char>(next()))) return number();
    if (next() == '(') {
      rest.remove_prefix(1);
      const double inside = sum();
      expect(next() == ')' && !rest.empty(), "order: a parenthesis stays open");
      rest.remove_prefix(1);
      return inside;
    }
    const std::string_view word = take([](int c) { return std::isalnum(c) || c == '_' ? 1 : 0; });
    expect(!word.empty(), "order: what is '", rest, "'?");
    if (word == "log") {
      const double power = exponent();
      return std::pow(std::log2(one()), power);
    }
    if (word == "sqrt") return std::sqrt(one());
    const auto found = letters.find(word);
    return found == letters.end() ? 1 : found->second;
  }
  double power() {
    const double base = one();
    return std::pow(base, exponent());
  }
  double product() {
    double all = power();
    for (char c = next(); c != ')' && c != '+' && c != '-'; c = next()) {
      const bool divides = c == '/';
      if (divides) rest.remove_prefix(1);
      const double factor = power();
      all = divides ? all / factor : all * factor;
    }
    return all;
  }
  double sum() {
    double all = product();
    for (char c = next(); c == '+' || c == '-'; c = next()) {
      rest.remove_prefix(1);
      const double term = product();
      all = c == '+' ? all + term : all - term;
    }
    return all;
  }
};

}  // namespace

double order_at(std::string_view order, const std::map<std::string, double, std::less<>>& letters) {
  expect(order.starts_with("O("), "order: '", order, "' does not begin with O(");
  return OrderText{order.substr(1), letters}.one();
}

}  // namespace headrace
