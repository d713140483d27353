// For libFuzzer (tests/fuzz/targets.h): saved runs of training, gone on with.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("training_state", data, size); }
