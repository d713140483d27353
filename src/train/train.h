// A training run from a recipe: opens data, tokenizer and model, goes on from what its folder has, trains, logs and saves.
//
// The folder: training.safetensors, one file with all that going on needs (parameters, optimizer, averages, carried states, place in the
// data, recipe), replaced at once; and what other verbs and tools open: config.json, model.safetensors, the tokenizer's files;
// log.jsonl, loss.svg and, where asked, TensorBoard's events. A run that is stopped, however, goes on to the same weights as one that is not.
#pragma once
#include <functional>
#include <string>

#include "train/recipe.h"
#include "train/trainer.h"

namespace headrace {

struct Opening {                         // what is known before the first step
  std::string folder;
  Outlook outlook;
  int64_t documents = 0, tokens = 0, tokens_a_step = 0;
  double epochs = 0, seconds = 0;        // of the steps that are left; seconds as a pass without gradients foretells them
  int64_t from_step = 0;                 // 0: a new run
};
struct Moment {
  Lesson lesson;                         // loss: of this step
  int64_t steps = 0, done = 0;           // of all; tokens so far
  double tokens_per_second = 0, seconds_left = 0, seconds = 0;
};
struct Scored { int64_t step = 0; double loss = 0, bits_per_byte = 0; };   // bits_per_byte 0: not known

struct TrainHooks {
  std::function<void(const Opening&)> opened;
  std::function<void(const Moment&)> stepped;
  std::function<void(const Scored&)> scored;
  std::function<void(const std::string& what)> doing;        // long work before the first step
  std::function<bool()> stop;                                // asked after each step: saves and leaves
};
struct TrainOptions {
  std::string folder;                    // empty: the recipe's, else named as the recipe is
  std::string assets;                    // names of models that ship
  bool restart = false;                  // forget what the folder has
  bool plan = false;                     // Opening only
  Device device = Device::cpu;
};
struct Trained { int64_t steps = 0; double loss = 0; Scored last; bool complete = false; std::string folder; };
// Throws Error: what is wrong with the recipe or data, a number that is not finite, a full disk; what was saved before stays.
Trained train(const Recipe& recipe, const TrainOptions& options = {}, const TrainHooks& hooks = {});

}  // namespace headrace
