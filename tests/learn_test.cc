// The law `learn` for every mixer of the catalogue, alone in a tiny blueprint: gradients of all parameters are those of the definitions
// by finite differences, and thirty steps of Adam make the loss of a toy fall.
#include <array>

#include "mixers/catalogue.h"
#include "models/blueprint.h"
#include "nn/init.h"
#include "slope.h"

namespace headrace {
namespace {

constexpr int vocab = 8;
struct Toy {
  std::vector<int64_t> lengths{5, 8};
  std::vector<int32_t> tokens, targets;                // the token before
  // A noisy walk around a circle: the token itself says something of the one before, the sequence all of it.
  explicit Toy(uint64_t seed, std::vector<int64_t> sizes = {5, 8}) : lengths(std::move(sizes)) {
    Random r(seed);
    for (int64_t n : lengths)
      for (int64_t t = 0, last = 0, now = 0; t < n; ++t) {
        last = now, now = r.uniform(0, 1) < 0.6 ? (last + 1) % vocab : r.below(vocab);
        tokens.push_back(static_cast<int32_t>(now)), targets.push_back(static_cast<int32_t>(last));
      }
  }
};

// The mixer with what tiny sequences ask of it: filters no longer than they are, and, where the loss is to be smooth on the scale of the
// differences, norms with a wide eps (an output near zero, normalised, is nearly a step).
std::string tiny(const std::string& given, bool smooth) {
  const std::string mixer = given.substr(0, given.find('('));
  std::string options = mixer == given ? "" : given.substr(mixer.size() + 1, given.size() - mixer.size() - 2);
  for (const OptionHelp& o : find_mixer(mixer)->options({.width = 16})) {
    const std::string value = o.name == "length" ? "16" : smooth && o.name.ends_with("eps") ? "0.1" : "";
    if (!value.empty() && options.find(o.name + "=") == options.npos) options += (options.empty() ? "" : ", ") + o.name + "=" + value;
  }
  return options.empty() ? mixer : mixer + "(" + options + ")";
}
// Parameters that training sees, some noise on each so that what begins at zero takes part.
struct Learner {
  Blueprint blueprint;
  std::shared_ptr<Source> source;
  Learner(const std::string& mixer, bool smooth, double jitter)
      : blueprint(parse_blueprint(text("d=16 vocab=", vocab, smooth ? " eps=0.1  " : "  ", tiny(mixer, smooth)))),
        source(initialised({.seed = 3, .jitter = jitter})) {
    build_blueprint(blueprint, source);
  }
  std::vector<Parameter> trained() const {
    std::vector<Parameter> all;
    std::copy_if(source->parameters.begin(), source->parameters.end(), std::back_inserter(all), [](const Parameter& p) { return p.trained; });
    return all;
  }
  std::vector<Tensor> parameters() const {
    std::vector<Tensor> all;
    for (const Parameter& p : trained()) all.push_back(p.value);
    return all;
  }
  Tensor logits(const Toy& toy) const {                // binds anew, as each step of training does
    const Model m = build_blueprint(blueprint, source);
    Batch batch;
    for (int64_t n : toy.lengths) batch.add(n);
    return m.decoder.logits(m.decoder.hidden(toy.tokens, batch));
  }
};
// The mean cross entropy in double, and its gradient by the logits.
double cross_entropy(const Tensor& logits, const std::vector<int32_t>& targets, Tensor* gradient = nullptr) {
  const int64_t N = logits.dim(0);
  if (gradient) *gradient = Tensor::empty(logits.shape());
  double loss = 0;
  for (int64_t t = 0; t < N; ++t) {
    const float* row = logits.f32() + t * vocab;
    double sum = 0;
    for (int v = 0; v < vocab; ++v) sum += std::exp(double{row[v]});
    const int32_t target = targets[static_cast<size_t>(t)];
    loss += (std::log(sum) - row[target]) / static_cast<double>(N);
    for (int v = 0; v < vocab && gradient; ++v)
      gradient->f32()[t * vocab + v] = static_cast<float>((std::exp(double{row[v]}) / sum - (v == target)) / static_cast<double>(N));
  }
  return loss;
}
double backward(const Learner& m, const Toy& toy, Tape& tape) {
  for (const Tensor& p : m.parameters()) tape.watch(p);
  const Tensor y = m.logits(toy);
  Tensor dy;
  const double loss = cross_entropy(y, toy.targets, &dy);
  tape.backward(y, dy);
  return loss;
}

// The derivative of f at 0 with what it may be off by: differences over falling steps, extrapolated (Ridders 1982), each with the noise
// that f's values have. The best of the table is taken.
struct Derivative { double value = 0, error = INFINITY; };
Derivative derivative(const std::function<double(double)>& f, double noise) {
  constexpr int rows = 8;
  constexpr double ratio = 2;
  std::array<std::array<double, rows>, rows> a{};
  Derivative best;
  double step = 1.0 / 64;
  for (int i = 0; i < rows; ++i, step /= ratio) {
    const size_t n = static_cast<size_t>(i);
    a[0][n] = (f(step) - f(-step)) / (2 * step);
    double power = ratio * ratio;
    for (size_t j = 1; j <= n; ++j, power *= ratio * ratio) {
      a[j][n] = (power * a[j - 1][n] - a[j - 1][n - 1]) / (power - 1);
      const double apart = std::max(std::abs(a[j][n] - a[j - 1][n]), std::abs(a[j][n] - a[j - 1][n - 1])), error = apart + noise / step;
      if (error < best.error) best = {a[j][n], error};
    }
  }
  return best;
}

class Learn : public testing::TestWithParam<const char*> {};

TEST_P(Learn, GradientsAreFiniteDifferencesOfTheDefinitions) {
  const Learner m(GetParam(), true, 0.2);
  const Toy toy(5);
  Tape tape;
  backward(m, toy, tape);
  PauseTape pause;
  UseNaive definitions;
  Random r(9);
  const std::vector<Tensor> parameters = m.parameters();
  const auto loss = [&] { return cross_entropy(m.logits(toy), toy.targets); };
  // What rounding does to the loss: as much as one last place in each parameter, the size of what its own operations round.
  double noise = 0;
  const double here = loss();
  for (int draw = 0; draw < 4; ++draw) {
    std::vector<Tensor> kept;
    for (const Tensor& p : parameters) {
      kept.push_back(p.contiguous_copy());
      for (int64_t i = 0; i < p.count(); ++i) p.f32()[i] *= 1 + (r.uniform(0, 1) < 0.5 ? 1.2e-7f : -1.2e-7f);
    }
    noise = std::max(noise, std::abs(loss() - here));
    for (size_t i = 0; i < kept.size(); ++i) std::copy_n(kept[i].f32(), kept[i].count(), parameters[i].f32());
  }
  noise = 4 * noise + 1e-7 * std::abs(here);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& p = parameters[i];
    const std::string name = m.trained()[i].name;
    const Tensor g = tape.gradient(p);
    const Tensor kept = p.contiguous_copy();
    for (const bool along : {true, false}) {             // the gradient's signs; any
      Tensor u = r.whole(p.shape());
      double want = 0, size = 0;
      for (int64_t k = 0; k < u.count(); ++k) {
        u.f32()[k] = (along && g ? g.f32()[k] > 0 : u.f32()[k] > 0) ? 1.f : -1.f;
        want += g ? double{g.f32()[k]} * u.f32()[k] : 0, size += g ? std::abs(double{g.f32()[k]}) : 0;
      }
      const Derivative d = derivative([&](double by) {
        for (int64_t k = 0; k < u.count(); ++k) p.f32()[k] = kept.f32()[k] + static_cast<float>(by) * u.f32()[k];
        const double l = loss();
        std::copy_n(kept.f32(), kept.count(), p.f32());
        return l;
      }, noise);
      EXPECT_LE(std::abs(want - d.value), 2 * d.error + 2e-4 * size) << name << ": the tape's slope is " << want << ", differences give " << d.value
                                                                   << " within " << d.error << ", sizes sum to " << size;
      if (along) { EXPECT_LE(d.error, 0.02 * size + 1e-3) << name << ": the differences say too little"; }
    }
  }
}

TEST_P(Learn, ThirtyStepsOfAdamMakeTheLossFall) {
  const Learner m(GetParam(), false, 0);
  const Toy toy(7, {24, 40});
  const std::vector<Tensor> parameters = m.parameters();
  std::vector<std::vector<double>> first, second;
  for (const Tensor& p : parameters) first.emplace_back(p.count()), second.emplace_back(p.count());
  double begin = 0, end = 0;
  for (int step = 1; step <= 30; ++step) {
    Tape tape;
    end = backward(m, toy, tape);
    if (step == 1) begin = end;
    ASSERT_TRUE(std::isfinite(end)) << "at step " << step;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Tensor g = tape.gradient(parameters[i]);
      for (int64_t k = 0; g && k < g.count(); ++k) {
        double &a = first[i][static_cast<size_t>(k)], &b = second[i][static_cast<size_t>(k)];
        const double x = g.f32()[k];
        a = 0.9 * a + 0.1 * x, b = 0.99 * b + 0.01 * x * x;
        parameters[i].f32()[k] -= static_cast<float>(0.02 * a / (1 - std::pow(0.9, step)) / (std::sqrt(b / (1 - std::pow(0.99, step))) + 1e-8));
      }
    }
  }
  EXPECT_LT(end, 0.8 * begin);
}

std::vector<const char*> all() {
  // What makes another function of a mixer: a memory of other depths, a filter that ends before the sequence does.
  std::vector<const char*> names{"titans(depth=1)", "titans(depth=3)", "titans_mac(depth=1)", "titans_mag(depth=1)", "titans_mal(depth=1)",
                                 "titans(clip=0.3)", "titans_mac(depth=1, clip=0.3)",
                                 "s4(length=4)", "hyena(modes=3)"};
  for (const MixerInfo& m : mixers()) names.push_back(m.doc->name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Mixers, Learn, testing::ValuesIn(all()), [](const auto& i) {
  std::string name;
  for (const char c : std::string(i.param)) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

}  // namespace
}  // namespace headrace
