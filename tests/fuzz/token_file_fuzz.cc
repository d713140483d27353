// For libFuzzer (tests/fuzz/targets.h): token files to train on.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("token_file", data, size); }
