// For libFuzzer (tests/fuzz/targets.h): tokenizer.json's, which must then encode and decode.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("tokenizer_json", data, size); }
