// For libFuzzer (tests/fuzz/targets.h): GGUF files, every tensor touched.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("index_json", data, size); }
