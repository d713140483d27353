// Any bytes are a file that is read, or one that is refused by an Error. Run with -malloc_limit_mb=64 -max_len=65536:
// nothing may be allocated because the file says so.
#include "base/error.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    headrace::SafetensorsFile f(std::as_bytes(std::span(data, size)), "fuzz");
    for (const auto& [name, t] : f.tensors())
      if (t.bytes() > size) __builtin_trap();
  } catch (const headrace::Error&) {
  }
  return 0;
}
