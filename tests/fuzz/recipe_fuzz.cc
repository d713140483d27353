// For libFuzzer (tests/fuzz/targets.h): recipes of training.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("recipe", data, size); }
