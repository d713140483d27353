// For libFuzzer (tests/fuzz/targets.h): saved states, bound to small models and continued.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("state", data, size); }
