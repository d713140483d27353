// A model that learns: its parameters, and what binds it anew for each step, so that what is derived from parameters (a decay from its
// logarithm, an adapted matrix) is on the step's tape.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/model.h"
#include "nn/state.h"

namespace headrace {

struct Learner {
  std::shared_ptr<Source> source;
  std::function<Model()> bind;           // the same parameters each time
  Value config;                          // config.json of what is saved
  std::string folder;                    // of the checkpoint that is fine-tuned; empty: a new model
  std::vector<Parameter> learned;        // what the optimizer moves
  std::vector<Parameter> fixed;          // the model's other parameters
  double lora_scale = 0;                 // of adapted matrices' products
  // State tuning: what every sequence begins with, and which parameter fills each slot.
  struct InitialSlot { int layer; const char* name; size_t parameter; };
  std::vector<InitialSlot> initial;
  State begins;                          // what they begin with besides: of a checkpoint whose state was tuned before

  State initial_state() const;           // empty where sequences begin with nothing
  // What is saved as the model: names and values, adapted matrices with their products added; `values` stand for `learned`.
  std::vector<std::pair<std::string, Tensor>> model_tensors(const std::vector<Tensor>& values) const;
};

// [1]: what layers add to a model's loss, as a batch has gathered it: the balance of experts, times `balance`, and the error that B'MOJO's
// predictor is trained by, which reaches nothing else but through the norm that all gradients are clipped by. Empty: nothing.
Tensor losses_of_layers(const Batch& batch, double balance);

bool of_vocabulary(const std::string& name);   // an embedding, a head, learned positions: by the parameter's name
// vocab: of the tokenizer, for a blueprint that does not say its own.
Learner new_learner(const std::string& blueprint, int vocab, uint64_t seed, Device device = Device::cpu);
// A Hugging Face folder, or one that headrace has trained.
Learner learner_of(const std::string& folder, Device device = Device::cpu);
// Low-rank adaptation (Hu et al. 2021, 2106.09685): W + alpha/rank B A for matrices whose names have one of `targets` in them. It happens
// where the model gets its matrices, so whatever they are used by sees it. B begins at zero. Throws Error where a target names nothing.
void adapt(Learner& learner, int64_t rank, double alpha, const std::vector<std::string>& targets, uint64_t seed);
// The state that sequences begin with is learned, and nothing else. Throws Error for a model whose layers carry keys and values only.
void tune_state(Learner& learner);

}  // namespace headrace
