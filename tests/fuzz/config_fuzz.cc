// For libFuzzer (tests/fuzz/targets.h): config.json's of any family, without tensors.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("config", data, size); }
