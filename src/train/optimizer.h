// AdamW, and Muon for the matrices between layers (Jordan et al. 2024, kellerjordan.github.io/posts/muon; its step scaled to AdamW's size,
// so that both share a rate and a decay: Liu et al. 2025, 2502.16982):
//
//   m <- beta m + g,  u = g + beta m,  O = newton_schulz(u / |u|, 5 rounds),  w <- w - rate (0.2 sqrt(max(out, in)) O + decay w)
//
// Rates and decay by parameter are what the architectures say where they declare it: vectors and gates take no decay, and groups have a
// highest rate of their own (state_space, recurrence, filter 1e-3; positions 1e-5). A recipe's [optimizer.groups] overrides both.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "nn/scope.h"
#include "train/recipe.h"

namespace headrace {

// The share of the highest rate at step 1, 2, ... of `steps`.
double schedule(const SchedulePart& s, int64_t step, int64_t steps);

class Optimizer {
 public:
  // Embeddings, heads, vectors and groups are AdamW's.
  Optimizer(const OptimizerPart& options, std::vector<Parameter> parameters);
  // One step: gradients (empty: none flowed) in the parameters' order, each times `scale`. share: of the rate.
  void step(const std::vector<Tensor>& gradients, double share, float scale);
  int64_t steps() const { return steps_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  // For checkpoints: the tensors by name, and how many steps they have seen.
  std::vector<std::pair<std::string, Tensor>> state() const;
  void restore(int64_t steps, const std::function<Tensor(const std::string& name)>& find);
  bool muon(size_t i) const { return slots_[i].muon; }
  double rate(size_t i) const { return slots_[i].rate; }
  double decay(size_t i) const { return slots_[i].decay; }

 private:
  struct Slot { double rate, decay; bool muon; Tensor first, second; };
  OptimizerPart options_;
  std::vector<Parameter> parameters_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

Tensor newton_schulz(const Tensor& x);   // [M,N]: nearly U V^T of x = U S V^T, singular values within 0.7 .. 1.2

}  // namespace headrace
