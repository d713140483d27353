// Training and testing of one cell: a blueprint on a task, with a seed and a rate. AdamW after a warm-up, its rate falling as a cosine.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "nn/options.h"
#include "nn/value.h"
#include "probe/batch.h"

namespace headrace {

struct Cell {
  std::string task, blueprint;
  std::vector<std::string> set;                            // parameters of the training data
  std::vector<std::vector<std::string>> tests;             // each in place of, or beside, those; the first is tested with them alone
  uint64_t seed = 0;
  double rate = 1e-3, decay = 0.1, clip = 1, beta = 0.98;
  int64_t steps = 1000, batch = 32, samples = 512;         // samples: of each test, and of validation
  int64_t every = 250;                                     // steps between validations
  double until = 1;                                        // stop once validation, of several answers, is as good; over 1: never
  std::string label;                                       // for tables: the blueprint as it was given, and what of a grid the cell is
  std::vector<std::pair<std::string, std::string>> grid;

  std::string key() const;                                 // all that the result depends on, in one line
};
// What a user may ask for, as an option or as a value of a grid.
struct CellRanges {
  static constexpr Range rate{1e-9, 10}, steps{1, 1e9}, batch{1, 1e6}, until{0, 2};
};
// The tasks of its tests; throws Error where one asks in another vocabulary.
std::vector<Task> tests_of(const Cell& cell);
// Throws Error where a test has another shape than what is trained, or where validation or a test would be of hardly any sequences: fewer
// than 32 that differ, and than a quarter of their samples.
void check_cell(const Cell& cell);
// Of a cell's test, or of its validation.
struct Scores {
  double accuracy = 0, error = 0;                          // of scored answers, and its standard error; 1 - MSE/variance for vectors
  double whole = 0;                                        // share of samples with all scored answers right
  double traced = 0;                                       // and all learned ones: what greedy decoding would write
  double loss = 0;                                         // mean cross entropy, or squared error
  int64_t answers = 0, samples = 0;
  bool varied = false;                                     // not all answers are the same one
  struct Bucket { int64_t upto; double accuracy, loss; int64_t answers; };
  std::vector<Bucket> by_position;                         // positions up to 2^k - 1
};
Value to_value(const Scores& s);
// The result as one object: key, parameters, seconds, cpu_seconds (of the calling thread: all of the work where cells run side by side),
// steps that ran, curve, tests, and near, where there is attention: the share of its weights within three tokens. A cell whose loss, gradient
// or validation is not finite ends there: diverged says at which step, and its tests are all wrong, without a loss. progress(step, loss,
// validation or null).
Object run_cell(const Cell& cell, const std::function<void(int64_t, double, const Scores*)>& progress = {});

}  // namespace headrace
