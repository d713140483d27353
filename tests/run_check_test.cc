// The laws of run/check.h on every fixture.
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

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& e : std::filesystem::directory_iterator(HEADRACE_ROOT "/tests/fixtures/models"))
    if (e.is_directory()) names.push_back(e.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}
std::string path_of(const std::string& name) {
  const std::string folder = HEADRACE_ROOT "/tests/fixtures/models/" + name;
  return name.ends_with("_pth") ? folder + "/model.pth" : folder;
}
class Laws : public testing::TestWithParam<std::string> {};

TEST_P(Laws, HoldHoweverASequenceIsRun) {
  set_thread_count(GetParam() == "llama" ? 2 : 1);   // tiny models are faster on one
  Loaded m = open_model(path_of(GetParam()));
  const int64_t tokens = m.model.decoder.positions ? 100 : 150;   // learned positions end
  for (const Checked& r : check_model(m.model.decoder, identity(m), {.tokens = tokens, .quantised = is_quantised(m)}))
    EXPECT_TRUE(r.ok) << r.law << ": worst " << r.worst << " (" << r.detail << ")";
}
INSTANTIATE_TEST_SUITE_P(Models, Laws, testing::ValuesIn(fixtures()), [](const auto& i) { return i.param; });

}  // namespace
