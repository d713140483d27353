// Sequences and their states on the device. For .cu files only.
#pragma once
#include "cuda/device.h"
#include "ops/kernels.h"

namespace headrace::cuda {

struct DeviceSequences {
  Scratch<int64_t> offsets;
  Scratch<float*> states;                          // null: none are kept
  DeviceSequences(const Sequences& sequences, float* const* host_states) : offsets(upload(sequences.offsets)) {
    if (host_states) states = upload(std::span(host_states, static_cast<size_t>(sequences.count())));
  }
};

}  // namespace headrace::cuda
