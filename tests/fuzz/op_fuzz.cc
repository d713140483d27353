// For libFuzzer (tests/fuzz/targets.h): `headrace op`: a line of name, form and parameters, then safetensors.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("op", data, size); }
