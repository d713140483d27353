// For libFuzzer (tests/fuzz/targets.h): blueprints: what is read must print, and read again as the same.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("blueprint", data, size); }
