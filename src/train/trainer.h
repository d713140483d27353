// One step of training: forward, loss and backward over packed batches, clipping, the optimizer. It knows nothing of files.
//
//   Trainer t(new_learner("d=64  2*(attn + swiglu)", 257, 1), recipe);
//   while (...) t.step(batches);
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "train/data.h"
#include "train/learner.h"
#include "train/optimizer.h"

namespace headrace {

struct Lesson {
  int64_t step = 0, tokens = 0;          // tokens with a target
  double loss = 0;                       // their mean, in nats
  double norm = 0;                       // of all gradients together, before clipping
  double rate = 0;                       // the common learning rate
};

class Trainer {
 public:
  Trainer(Learner learner, const Recipe& recipe);
  // Throws Error where the loss or a gradient is not finite: the layer, the operation's place and the token, or the parameter. The
  // parameters are then what they were before the step.
  Lesson step(std::span<const Packed> batches);
  // The mean loss in nats of these batches, without dropout, smoothing and z-loss; with the averaged parameters where there are some.
  struct Score { double loss = 0; int64_t tokens = 0; };
  Score score(std::span<const Packed> batches);

  int64_t steps() const { return optimizer_.steps(); }
  const Learner& learner() const { return learner_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const std::vector<bool>& reached() const { return reached_; }        // of learned parameters: had a gradient in the last step
  void check_finite() const;                                            // throws Error where a parameter, or its average, is not finite
  std::vector<Tensor> averaged() const;                                // what is saved: averages, or the parameters themselves

  // Everything that a step depends on but data: parameters, the optimizer's state, averages, carried states.
  std::vector<std::pair<std::string, Tensor>> state() const;
  void restore(int64_t steps, const std::function<Tensor(const std::string& name)>& find, std::span<const std::string> names);

 private:
  Tensor forward(const Model& m, const Packed& p, int64_t all, bool training, double* sum);
  [[noreturn]] void not_finite(const Packed& p, const std::string& what);
  void swap_averages();
  void hold_lanes() const;
  Learner learner_;
  Recipe recipe_;
  Optimizer optimizer_;
  std::vector<Tensor> averages_;
  std::vector<State> lanes_;             // carried from batch to batch
  std::vector<bool> reached_;
  uint64_t passes_ = 0;                  // of this step: streams of dropout
};

// What training will need, known before it: a step on the meta device.
struct Outlook {
  int64_t parameters = 0, learned = 0, layers = 0, layers_reached = 0;
  double share_reached = 0;              // of all parameters: those that a gradient reaches
  size_t bytes = 0;                      // parameters, their optimizer's state, gradients, activations
  double flops = 0;                      // of a step
};
Outlook outlook(Learner meta, const Recipe& recipe);

}  // namespace headrace
