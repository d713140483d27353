// For libFuzzer (tests/fuzz/targets.h): GGUF files as models: keys to configuration, names and shapes, nothing loaded.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("gguf_model", data, size); }
