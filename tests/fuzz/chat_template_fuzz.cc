// For libFuzzer (tests/fuzz/targets.h): chat templates, rendered under the budget of steps and bytes.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("chat_template", data, size); }
