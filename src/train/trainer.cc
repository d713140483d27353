// A step. The model is bound anew on the tape of the step; a batch's sequences begin fresh, from the state that is tuned, or where their
// lane ended. Losses are weighted so that accumulated batches are one large batch.
#include "train/trainer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include "base/error.h"
#include "ops/kernels.h"
#include "ops/meter.h"
#include "ops/ops.h"
#include "ops/tape.h"
#include "ops/training.h"

namespace headrace {
namespace {

int64_t asked(const Packed& p) { return std::count_if(p.targets.begin(), p.targets.end(), [](int32_t t) { return t >= 0; }); }
bool finite(const Tensor& t) {
  const Tensor x = copy_to(t, Device::cpu);
  return std::all_of(x.f32(), x.f32() + x.count(), [](float v) { return std::isfinite(v); });
}
double number(const Tensor& t) { return copy_to(t, Device::cpu).f32()[0]; }
// Of a parameter's name: "layers.3.0.attn..." -> 3; below 0: of no layer.
int64_t layer_of(const std::string& name) {
  for (size_t at = name.find('.'); at != name.npos; at = name.find('.', at + 1)) {
    const size_t end = name.find_first_not_of("0123456789", at + 1);
    if (end > at + 1 && (end == name.npos || name[end] == '.')) return std::stoll(name.substr(at + 1, 9));
  }
  return -1;
}
// How near to the loss a parameter is used: embeddings, layers, what comes after them.
int64_t depth(const std::string& name) {
  const int64_t layer = layer_of(name);
  return layer >= 0 ? layer : of_vocabulary(name) && name.find("head") == name.npos ? -1 : INT64_MAX;
}
// scale times the sum of losses [1].
Tensor loss_sum(const Decoder& d, const Tensor& h, const std::vector<int32_t>& targets, float scale, CrossEntropy o) {
  if (d.logit_cap == 0 && !d.head.bias) return linear_cross_entropy(h, d.head.weight, targets, scale, o);
  return scale * sum_columns(cross_entropy(d.logits(h), targets, o).view({1, h.dim(0)}));
}

}  // namespace

Trainer::Trainer(Learner learner, const Recipe& recipe)
    : learner_(std::move(learner)), recipe_(recipe), optimizer_(recipe.optimizer, learner_.learned) {
  if (recipe.data.carry) lanes_.resize(static_cast<size_t>(recipe.data.batch));
  if (recipe.train.ema > 0)
    for (const Parameter& p : learner_.learned) averages_.push_back(1.f * p.value);
}

// A score is what the saved model has, which runs without rounding.
Tensor Trainer::forward(const Model& m, const Packed& p, int64_t all, bool training, double* sum) {
  const UseBf16Products rounded(training && recipe_.train.precision == "bf16");
  Batch batch;
  std::vector<State> states;
  const State begins = learner_.initial_state();
  if (recipe_.data.carry || !begins.layers.empty()) {
    states.resize(p.lengths.size(), begins);
    for (size_t s = 0; s < states.size(); ++s)
      if (p.continues[s] >= 0) states[s] = lanes_[static_cast<size_t>(p.continues[s])];
  }
  for (size_t s = 0; s < p.lengths.size(); ++s) batch.add(p.lengths[s], states.empty() ? nullptr : &states[s]);
  if (training)
    batch.training = Training{.dropout = static_cast<float>(recipe_.train.dropout), .recompute = recipe_.train.recompute,
                              .random = {.seed = static_cast<uint64_t>(recipe_.seed) ^ 0x64726f70u,
                                         .stream = (static_cast<uint64_t>(steps() + 1) << 32) + (passes_++ << 20)}};
  const Tensor h = m.decoder.hidden(p.ids, batch);
  const CrossEntropy o{.smoothing = training ? static_cast<float>(recipe_.train.smoothing) : 0,
                       .z = training ? static_cast<float>(recipe_.train.z_loss) : 0};
  const float scale = 1 / static_cast<float>(std::max<int64_t>(all, 1));
  Tensor loss = loss_sum(m.decoder, h, p.targets, scale, o);
  if (sum && loss.device() != Device::meta) *sum += number(loss) / scale;
  if (training)
    if (const Tensor own = losses_of_layers(batch, recipe_.train.balance))
      loss = loss + static_cast<float>(static_cast<double>(asked(p)) / static_cast<double>(std::max<int64_t>(all, 1))) * own;
  for (size_t s = 0; s < states.size(); ++s)
    if (training && p.lanes[s] >= 0) lanes_[static_cast<size_t>(p.lanes[s])] = std::move(states[s]);
  return loss;
}

Lesson Trainer::step(std::span<const Packed> batches) {
  Tape tape;
  for (const Parameter& p : learner_.learned) tape.watch(p.value);
  Lesson lesson{.step = steps() + 1};
  for (const Packed& p : batches) lesson.tokens += asked(p);
  expect(lesson.tokens > 0, "train: a batch without a target");
  passes_ = 0;
  const std::vector<State> lanes = lanes_;
  for (const Packed& p : batches) {
    double sum = 0;
    {
      const UseBf16Products rounded(recipe_.train.precision == "bf16");
      const Model m = learner_.bind();
      const Tensor loss = forward(m, p, lesson.tokens, true, &sum);
      if (loss.device() != Device::meta && !std::isfinite(sum + number(loss))) {
        lanes_ = lanes;
        PauseTape pause;
        not_finite(p, text("the loss is ", sum));
      }
      tape.backward(loss);
    }
    lesson.loss += sum / static_cast<double>(lesson.tokens);
  }
  std::vector<Tensor> gradients;
  std::string broken;
  double square = 0;
  PauseTape pause;
  reached_.assign(learner_.learned.size(), false);
  for (size_t i = 0; i < learner_.learned.size(); ++i) {
    gradients.push_back(tape.gradient(learner_.learned[i].value));
    reached_[i] = static_cast<bool>(gradients[i]);
    if (!gradients[i]) continue;
    const double own = square_sum(gradients[i]);
    const std::string& name = learner_.learned[i].name;
    if (!std::isfinite(own) && (broken.empty() || depth(name) >= depth(broken))) broken = name;   // what lies before it follows
    square += own;
  }
  if (!broken.empty()) {
    lanes_ = lanes;
    not_finite(batches[0], text("the gradient of ", broken, " is not finite"));
  }
  lesson.norm = std::sqrt(square);
  const double share = schedule(recipe_.schedule, lesson.step, recipe_.train.steps), clip = recipe_.train.clip;
  lesson.rate = share * recipe_.optimizer.rate;
  const UseBf16Products rounded(recipe_.train.precision == "bf16");      // Muon's, as its authors compute them
  optimizer_.step(gradients, share, clip > 0 && lesson.norm > clip ? static_cast<float>(clip / lesson.norm) : 1.f);
  for (size_t i = 0; i < averages_.size(); ++i)
    add_into(static_cast<float>(1 - recipe_.train.ema) * (learner_.learned[i].value - averages_[i]), averages_[i]);
  return lesson;
}

// The pass again, each result looked at as it is made; the first number that is none is told by its layer and place.
void Trainer::not_finite(const Packed& p, const std::string& what) {
  Tape tape;
  for (const Parameter& q : learner_.learned) tape.watch(q.value);
  for (const auto* list : {&learner_.learned, &learner_.fixed})
    for (const Parameter& q : *list)
      if (q.value && is_float(q.value.dtype()) && !finite(q.value))
        fail("step ", steps() + 1, ": ", what, "; parameter ", q.name, " is not finite");
  std::string where = "before the first layer";
  const auto look = [&](const Tensor& y) {
    const Tensor t = copy_to(y.contiguous_or_copy(), Device::cpu);
    for (int64_t i = 0; i < t.count(); ++i) {
      if (std::isfinite(t.f32()[i])) continue;
      const int64_t rows = t.rank() > 1 ? t.dim(0) : 1, at = i / std::max<int64_t>(1, t.count() / rows);
      std::string place = text("; the first that is not finite: ", t.f32()[i], " ", where, ", in ", t.shape());
      if (rows == p.tokens()) {
        int64_t s = 0, begin = 0;
        while (begin + p.lengths[static_cast<size_t>(s)] <= at) begin += p.lengths[static_cast<size_t>(s)], ++s;
        place += text(", token ", at - begin, " (id ", p.ids[static_cast<size_t>(at)], ") of sequence ", s);
        if (t.rank() == 3) place += text(", head ", i / t.dim(2) % t.dim(1));
        place += text(", channel ", i % t.dim(-1));
      }
      fail("step ", steps() + 1, ": ", what, place);
    }
  };
  const UseBf16Products rounded(recipe_.train.precision == "bf16");
  Model m = learner_.bind();
  tape.trap = look;                                      // what is made of parameters alone is met in its layer
  for (size_t l = 0; l < m.decoder.layers.size(); ++l) {
    Layer& layer = m.decoder.layers[l];
    layer.run = [&where, l, name = layer.text, f = layer.run](const Tensor& x, Pass pass) {
      where = text("in layer ", l, " (", name, ")");
      Tensor y = f(x, pass);
      where = text("after layer ", l);
      return y;
    };
  }
  struct Kept {                                          // whatever comes of the pass
    Trainer& t;
    bool recompute = std::exchange(t.recipe_.train.recompute, false);
    std::vector<State> lanes = t.lanes_;
    ~Kept() { t.recipe_.train.recompute = recompute, t.lanes_ = std::move(lanes); }
  } kept{*this};
  passes_ = 0;
  forward(m, p, asked(p), true, nullptr);
  fail("step ", steps() + 1, ": ", what, "; the pass before it is finite");
}

Trainer::Score Trainer::score(std::span<const Packed> batches) {
  PauseTape pause;
  swap_averages();
  const Model m = learner_.bind();
  Score s;
  double sum = 0;
  const std::vector<State> lanes = lanes_;
  for (const Packed& p : batches) forward(m, p, 1, false, &sum), s.tokens += asked(p);
  swap_averages();
  s.loss = sum / static_cast<double>(std::max<int64_t>(1, s.tokens));
  return s;
}
void Trainer::swap_averages() {
  for (size_t i = 0; i < averages_.size(); ++i) {
    Tensor value = learner_.learned[i].value;
    const Tensor kept = 1.f * value;
    copy_into(averages_[i], value), copy_into(kept, averages_[i]);
  }
}

void Trainer::check_finite() const {
  for (size_t i = 0; i < learner_.learned.size(); ++i)
    expect(finite(learner_.learned[i].value) && (averages_.empty() || finite(averages_[i])), "step ", steps(), ": parameter ",
           learner_.learned[i].name, " is not finite");
}
std::vector<Tensor> Trainer::averaged() const {
  if (!averages_.empty()) return averages_;
  std::vector<Tensor> all;
  for (const Parameter& p : learner_.learned) all.push_back(p.value);
  return all;
}

std::vector<std::pair<std::string, Tensor>> Trainer::state() const {
  std::vector<std::pair<std::string, Tensor>> all = optimizer_.state();
  for (size_t i = 0; i < learner_.learned.size(); ++i) {
    all.emplace_back("value." + learner_.learned[i].name, learner_.learned[i].value);
    if (!averages_.empty()) all.emplace_back("average." + learner_.learned[i].name, averages_[i]);
  }
  for (size_t lane = 0; lane < lanes_.size(); ++lane)
    for (size_t l = 0; l < lanes_[lane].layers.size(); ++l)
      for (int i = 0; i < State::slots_per_layer; ++i) {
        const SlotValue& v = lanes_[lane].layers[l].values[i];
        const char* name = lanes_[lane].layers[l].names[i];
        if (!name) continue;
        const std::string full = text("lane.", lane, ".", l, ".", name);
        if (v.value) all.emplace_back(full, v.value);
        for (size_t page = 0; page < v.pages.size(); ++page)
          if (v.pages[page]) all.emplace_back(text(full, ".page.", page, ".", v.length), v.pages[page]);
      }
  for (size_t lane = 0; lane < lanes_.size(); ++lane)
    all.emplace_back(text("lane.", lane, ".tokens"), Tensor::from(std::vector<int64_t>{lanes_[lane].tokens}, {1}));
  return all;
}

void Trainer::restore(int64_t steps, const std::function<Tensor(const std::string&)>& find, std::span<const std::string> names) {
  optimizer_.restore(steps, find);
  const auto fill = [&](const std::string& name, Tensor to) {
    const Tensor t = find(name);
    expect(t.dtype() == to.dtype() && t.shape() == to.shape(), name, ": wanted ", to.dtype(), " ", to.shape(), ", found ", t.dtype(), " ", t.shape());
    copy_bytes(to.raw(), to.device(), t.raw(), Device::cpu, to.bytes());
  };
  for (size_t i = 0; i < learner_.learned.size(); ++i) {
    fill("value." + learner_.learned[i].name, learner_.learned[i].value);
    if (!averages_.empty()) fill("average." + learner_.learned[i].name, averages_[i]);
  }
  constexpr int64_t most_pages = int64_t{1} << 20;       // that a file may leave out: they cost memory all the same
  int64_t missing = 0;
  static std::set<std::string> slots;                    // states keep pointers to names
  for (const std::string& name : names) {
    if (!name.starts_with("lane.")) continue;
    std::vector<std::string> parts{""};
    for (char c : name) {
      if (c == '.') parts.emplace_back();
      else parts.back() += c;
    }
    const auto number_at = [&](size_t i, int64_t most) {
      int64_t n = -1;
      const std::string& digits = i < parts.size() ? parts[i] : name;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
      expect(error == std::errc() && end == digits.data() + digits.size() && n >= 0 && n < most, name, ": no name of a carried state");
      return n;
    };
    State& s = lanes_[static_cast<size_t>(number_at(1, std::ssize(lanes_)))];
    const Tensor t = find(name);
    if (parts.size() == 3 && parts[2] == "tokens") {
      expect(t.dtype() == DType::i64 && t.count() == 1, name, ": wanted i64 [1], found ", t.dtype(), " ", t.shape());
      s.tokens = t.data<int64_t>()[0];
      continue;
    }
    expect(parts.size() >= 4 && t.dtype() == DType::f32, name, ": wanted f32 of a slot, found ", t.dtype(), " ", t.shape());
    const auto layer = static_cast<size_t>(number_at(2, 1 << 12));
    if (s.layers.size() <= layer) s.layers.resize(layer + 1);
    size_t words = parts.size();
    const bool page = words > 6 && parts[words - 3] == "page";
    std::string slot = parts[3];
    for (size_t i = 4; i < words - (page ? 3 : 0); ++i) slot += "." + parts[i];
    SlotValue& v = s.layers[layer].at(slots.insert(slot).first->c_str());
    const Tensor copy = copy_to(t.contiguous_copy(), learner_.source->device);
    if (!page) {
      v.value = copy;
      continue;
    }
    const auto number = static_cast<size_t>(number_at(words - 2, 1 << 20));
    v.length = number_at(words - 1, int64_t{1} << 40);
    if (v.pages.size() <= number) {
      missing += static_cast<int64_t>(number - v.pages.size());
      expect(missing <= most_pages, name, ": wanted at most ", most_pages, " pages left out, found more");
      v.pages.resize(number + 1);
    }
    v.pages[number] = copy;
  }
  if (!lanes_.empty()) hold_lanes();
}

// A file's states are such as this model makes.
void Trainer::hold_lanes() const {
  PauseTape pause;
  State made = learner_.initial_state();
  Batch batch;
  batch.add(1, &made);
  const int32_t token = 0;
  const Model model = learner_.bind();
  (void)model.decoder.hidden({&token, 1}, batch);
  const int64_t meta_tokens = model.decoder.meta_tokens();
  for (const State& s : lanes_) {
    if (s.layers.empty() && s.tokens == 0) continue;
    expect(s.tokens >= 0 && s.tokens < int64_t{1} << 30, "a carried state of ", s.tokens, " tokens");
    expect(s.layers.size() <= made.layers.size(), "a carried state of ", s.layers.size(), " layers, wanted ", made.layers.size());
    for (size_t l = 0; l < s.layers.size(); ++l)
      for (int i = 0; i < State::slots_per_layer; ++i) {
        const char* name = s.layers[l].names[i];
        if (!name) continue;
        const SlotValue &has = s.layers[l].values[i], &wanted = made.layers[l].at(name);
        const auto pages = static_cast<size_t>((has.length + 63) / 64);
        bool fits = static_cast<bool>(has.value) == static_cast<bool>(wanted.value) && (!has.value || has.value.shape() == wanted.value.shape());
        fits = fits && has.pages.size() == pages && has.pages.empty() == wanted.pages.empty() && (pages == 0 || has.length == s.tokens + meta_tokens);
        for (const Tensor& p : has.pages) fits = fits && (!p || p.shape() == wanted.pages[0].shape());
        expect(fits, "a carried state's layers.", l, ".", name, " is not what the model makes");
      }
  }
}

Outlook outlook(Learner meta, const Recipe& recipe) {
  Outlook o;
  std::set<int64_t> layers, reached;
  const std::vector<Parameter> learned = meta.learned, fixed = meta.fixed;
  for (const auto* list : {&learned, &fixed})
    for (const Parameter& p : *list) {
      o.parameters += p.shape.count();
      if (const int64_t l = layer_of(p.name); l >= 0) layers.insert(l);
    }
  Meter meter;
  Trainer t(std::move(meta), recipe);
  Packed p;
  for (int64_t s = 0; s < recipe.data.batch; ++s)
    p.lengths.push_back(recipe.data.length), p.continues.push_back(-1), p.lanes.push_back(recipe.data.carry ? static_cast<int32_t>(s) : -1);
  p.ids.assign(static_cast<size_t>(recipe.data.batch * recipe.data.length), 0), p.targets = p.ids;
  t.step({&p, 1});
  o.flops = meter.flops() * static_cast<double>(recipe.train.accumulate);
  int64_t with = 0;
  for (size_t i = 0; i < learned.size(); ++i) {
    o.learned += learned[i].shape.count();
    if (!t.reached()[i]) continue;
    with += learned[i].shape.count();
    std::string name = learned[i].name;
    if (name.starts_with("initial_state.")) name = name.substr(8);
    if (const int64_t l = layer_of(name); l >= 0) reached.insert(l);
  }
  o.layers = std::ssize(layers), o.layers_reached = std::ssize(reached);
  o.share_reached = static_cast<double>(with) / static_cast<double>(std::max<int64_t>(1, o.parameters));
  o.bytes = planned_bytes();
  return o;
}

}  // namespace headrace
