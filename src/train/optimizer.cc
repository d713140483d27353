// Rates, decay and which of the two methods moves a parameter are decided once; a step is then one kernel, or Muon's matrix products.
#include "train/optimizer.h"

#include <cmath>
#include <map>
#include <numbers>

#include "base/error.h"
#include "ops/ops.h"
#include "ops/tape.h"
#include "ops/training.h"
#include "train/learner.h"

namespace headrace {
namespace {

// What papers give groups at most: S4 and its kin (Gu et al. 2022, 2111.00396), LRU (Orvieto et al. 2023, 2303.06349), Hyena (Poli et al. 2023,
// 2302.10866), whose filters' positions hardly move.
const std::map<std::string, double> most{{"state_space", 1e-3}, {"recurrence", 1e-3}, {"filter", 1e-3}, {"positions", 1e-5}};

}  // namespace

double schedule(const SchedulePart& s, int64_t step, int64_t steps) {
  const double n = static_cast<double>(steps), at = static_cast<double>(step), warm = s.warmup * n;
  if (at <= warm) return at / std::max(warm, 1.0);
  if (s.kind == "constant") return 1;
  const double begin = s.kind == "wsd" ? std::max(warm, n - s.fall * n) : warm;
  if (at <= begin || n <= begin) return 1;
  const double x = std::min(1.0, (at - begin) / (n - begin));
  return s.final + (1 - s.final) * (s.kind == "cosine" ? 0.5 * (1 + std::cos(std::numbers::pi * x)) : 1 - x);
}

Tensor newton_schulz(const Tensor& x) {
  const bool tall = x.dim(0) > x.dim(1);
  const double norm = std::sqrt(square_sum(x));
  Tensor y = static_cast<float>(1 / (norm + 1e-7)) * (tall ? transposed(x) : x);
  for (int i = 0; i < 5; ++i) {                          // y <- a y + (b A + c A^2) y, A = y y^T
    const Tensor A = matmul(y, y, false, true), B = -4.775f * A + 2.0315f * matmul(A, A);
    y = 3.4445f * y + matmul(B, y);
  }
  return tall ? transposed(y) : y;
}

Optimizer::Optimizer(const OptimizerPart& options, std::vector<Parameter> parameters)
    : options_(options), parameters_(std::move(parameters)) {
  for (const auto& [name, values] : options.groups) {
    std::string groups;
    bool there = false;
    for (const Parameter& p : parameters_) {
      there = there || p.group == name;
      if (!p.group.empty() && groups.find(p.group) == groups.npos) groups += (groups.empty() ? "" : ", ") + p.group;
    }
    expect(there, "optimizer.groups.", name, ": the model has no such group; it has ", groups.empty() ? "none" : groups);
  }
  for (const Parameter& p : parameters_) {
    Slot s{.rate = options.rate, .decay = p.decay ? options.decay : 0, .muon = false};
    if (const auto m = most.find(p.group); m != most.end()) s.rate = std::min(s.rate, m->second);
    if (const auto g = options.groups.find(p.group); g != options.groups.end()) {
      if (g->second.contains("rate")) s.rate = g->second.at("rate");
      if (g->second.contains("decay")) s.decay = g->second.at("decay");
    }
    s.muon = options.kind == "muon" && p.shape.rank() == 2 && p.decay && p.group.empty() && !of_vocabulary(p.name) &&
             std::min(p.shape[0], p.shape[1]) > 1;
    s.first = Tensor::zeros(p.shape, DType::f32, p.value.device());
    if (!s.muon) s.second = Tensor::zeros(p.shape, DType::f32, p.value.device());
    slots_.push_back(std::move(s));
  }
}

void Optimizer::step(const std::vector<Tensor>& gradients, double share, float scale) {
  PauseTape pause;
  ++steps_;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& s = slots_[i];
    if (!gradients[i]) continue;
    Tensor w = parameters_[i].value, g = gradients[i].contiguous() ? gradients[i] : 1.f * gradients[i];
    if (!s.muon) {
      adam_step(w, g, s.first, s.second,
                {.rate = static_cast<float>(s.rate * share), .beta1 = static_cast<float>(options_.beta1), .beta2 = static_cast<float>(options_.beta2),
                 .eps = static_cast<float>(options_.eps), .decay = static_cast<float>(s.decay), .scale = scale}, steps_);
      continue;
    }
    const auto beta = static_cast<float>(options_.momentum);
    g = scale * g;
    s.first = beta * s.first + g;
    const double size = 0.2 * std::sqrt(static_cast<double>(std::max(w.dim(0), w.dim(1)))), rate = s.rate * share;
    add_into(static_cast<float>(-rate * size) * newton_schulz(g + beta * s.first) - static_cast<float>(rate * s.decay) * w, w);
  }
}

std::vector<std::pair<std::string, Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < slots_.size(); ++i) {
    all.emplace_back("first." + parameters_[i].name, slots_[i].first);
    if (!slots_[i].muon) all.emplace_back("second." + parameters_[i].name, slots_[i].second);
  }
  return all;
}
void Optimizer::restore(int64_t steps, const std::function<Tensor(const std::string&)>& find) {
  steps_ = steps;
  for (const auto& [name, t] : state()) {
    Tensor to = t;
    const Tensor from = find(name);
    expect(from.dtype() == to.dtype() && from.shape() == to.shape(), name, ": wanted ", to.dtype(), " ", to.shape(), ", found ", from.dtype(), " ",
           from.shape());
    copy_bytes(to.raw(), to.device(), from.raw(), Device::cpu, to.bytes());
  }
}

}  // namespace headrace
