// For libFuzzer (tests/fuzz/targets.h): RWKV's world vocabularies, which must then encode and decode.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("rwkv_vocabulary", data, size); }
