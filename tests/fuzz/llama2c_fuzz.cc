// For libFuzzer (tests/fuzz/targets.h): llama2.c's tokenizers, which must then encode and decode.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("llama2c", data, size); }
