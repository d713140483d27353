// training.safetensors: a run as one file, which has all that a step depends on: parameters, the optimizer's state, averages, carried states, the
// place in the data, and the recipe. Replaced at once. Files are hostile: all is checked before it is used.
#pragma once
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "train/data.h"
#include "train/trainer.h"

namespace headrace {

struct Spent { int64_t tokens = 0; double seconds = 0; };        // on a run so far

void save_run(const std::string& path, const Trainer& trainer, const Stream& data, const Recipe& recipe, const Spent& spent);
// Keys of the recipe that trained it and may not differ, and do. Throws Error that names the file where it is no saved run.
std::vector<std::string> other_recipe(const SafetensorsFile& file, const std::string& path, const Recipe& recipe);
// Trainer and data become what they were. Throws Error that names the file; both are then of no use.
Spent restore_run(const SafetensorsFile& file, const std::string& path, Trainer& trainer, Stream& data);

}  // namespace headrace
