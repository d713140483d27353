// A blueprint's stack as a model of a task: token or vector inputs, answers by class or vector, or all read from one place by an MLP.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "models/blueprint.h"
#include "probe/batch.h"

namespace headrace {

class Network {
 public:
  // blueprint: its vocabulary is the task's. Parameters follow from the seed.
  Network(const Task& task, const std::string& blueprint, uint64_t seed);

  // Positions of a batch that have an answer, one after the other over the samples.
  struct Asked {
    std::vector<int64_t> rows;           // of all tokens
    std::vector<int32_t> targets;        // by class; or
    std::vector<float> vectors;          // [rows, outputs]
    std::vector<uint8_t> scored;
    std::vector<int32_t> sample, position, slot;           // slot: which answer, where all are read from one place
    int64_t count() const { return static_cast<int64_t>(rows.size()); }
  };
  Asked asked(const ProbeBatch& batch) const;
  // [count, vocab or outputs]: what is said at each. Bound anew, so that all of it is on the tape that lives.
  // losses: gets what layers add to the loss (train/learner.h), where they do.
  Tensor answers(const ProbeBatch& batch, const Asked& asked, Tensor* losses = nullptr) const;

  std::vector<Parameter> parameters() const;               // those that are trained
  std::string blueprint() const { return print(blueprint_); }
  int64_t state_bytes(int64_t tokens) const;               // what is carried of one sequence after so many; 0: not causal

 private:
  Task task_;
  Blueprint blueprint_;
  std::shared_ptr<Source> source_;
};

}  // namespace headrace
