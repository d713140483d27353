// A saved state, its checksum aside: whatever the bytes, an Error or a state that can be described and compared.
#include "base/error.h"
#include "run/state_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  try {
    SavedState s = read_state({reinterpret_cast<const std::byte*>(data), size}, "fuzz", false);
    State fork = s.state;
    (void)fork.bytes();
    (void)differences(s.state, fork);
  } catch (const Error&) {
  }
  return 0;
}
