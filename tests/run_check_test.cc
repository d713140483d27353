// The laws of run/check.h on every fixture whose family is known.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "run/check.h"
#include "run/load.h"

using namespace headrace;

namespace {

std::string folder_of(const std::string& name) { return HEADRACE_ROOT "/tests/fixtures/models/" + name; }
// Those whose family is known; a fixture of a known family that no longer opens fails its parity test.
std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& e : std::filesystem::directory_iterator(HEADRACE_ROOT "/tests/fixtures/models")) {
    if (!e.is_directory()) continue;
    try {
      open_model(e.path(), {.device = Device::meta});
      names.push_back(e.path().filename());
    } catch (const Error&) {
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}
class Laws : public testing::TestWithParam<std::string> {};

TEST_P(Laws, HoldHoweverASequenceIsRun) {
  set_thread_count(GetParam() == "llama" ? 2 : 1);   // tiny models are faster on one
  Loaded m = open_model(folder_of(GetParam()));
  for (const Checked& r : check_model(m.model.decoder, identity(m), {.quantised = is_quantised(m)}))
    EXPECT_TRUE(r.ok) << r.law << ": worst " << r.worst << " (" << r.detail << ")";
}
INSTANTIATE_TEST_SUITE_P(Models, Laws, testing::ValuesIn(fixtures()), [](const auto& i) { return i.param; });

}  // namespace
