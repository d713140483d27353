// For libFuzzer (tests/fuzz/targets.h): JSON lines of documents to train on.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("json_lines", data, size); }
