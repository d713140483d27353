// What a model will need before it is loaded: shapes on the meta device, weights as the device arranges them, the state
// at a context, the temporaries of a prefill chunk as the allocator would keep them, and the program itself. For CUDA, an estimate of the
// device's memory, without the driver's own (some hundred MiB).
#pragma once
#include <functional>
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
  int threads = 0;
  size_t state_fixed = 0;                // of one token's state: what does not grow
  double state_per_token = 0;            // of what grows, at this context, which pages round up
  double prefill_flops = 0, decode_flops = 0;   // of the context, in chunks; of its last token as a decoded one
  std::map<std::string, size_t> weights_by_dtype;
  std::vector<PlannedSlot> slots;        // of the state at this context
};
struct PlanOptions {
  int64_t chunk = 512;                   // tokens of a prefill chunk
  int threads = 0;                       // 0: thread_count()
  bool in_full = false;                  // walk all of a long context, which takes time by its square, where it follows from shorter ones
  std::function<void(double tokens)> progress = {};   // of a walk through twice the context
};
// model: opened with Device::meta.
Plan plan_memory(const Loaded& model, int64_t context, const PlanOptions& options = {});
size_t resident_bytes();                 // of this process now

}  // namespace headrace
