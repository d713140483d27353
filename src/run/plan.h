// What a model will need before it is loaded: shapes on the meta device, weights as the device arranges them, the state
// at a context, the temporaries of a prefill chunk as the allocator would keep them, and the program itself. For CUDA, an estimate of the
// device's memory, without the driver's own (some hundred MiB).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "run/load.h"

namespace headrace {

struct PlannedSlot {
  int layer;
  std::string name, shape;
  size_t bytes;
};
struct Plan {
  size_t file_bytes = 0, weights = 0, state = 0, activations = 0, program = 0, load_peak = 0;
  size_t products = 0;                   // CUDA: the largest matrix as f32 while it is multiplied, and cuBLASLt's workspace
  size_t total = 0;                      // peak resident memory: the program, and the larger of loading and running; CUDA: the device's
  bool estimate = false;                 // not held to measurements within 5 %
  int64_t context = 0, chunk = 0, parameters = 0;
  size_t state_fixed = 0;                // of one token's state: what does not grow
  double state_per_token = 0;            // at this context
  double prefill_flops = 0, decode_flops = 0;   // of the context, in chunks; of its last token as a decoded one
  std::map<std::string, size_t> weights_by_dtype;
  std::vector<PlannedSlot> slots;        // of the state at this context
};
// model: opened with Device::meta.
Plan plan_memory(const Loaded& model, int64_t context, int64_t chunk);
size_t resident_bytes();                 // of this process now

}  // namespace headrace
