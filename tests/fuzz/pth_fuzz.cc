// For libFuzzer (tests/fuzz/targets.h): archives of torch.save.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("pth", data, size); }
