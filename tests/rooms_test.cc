// The rules of the house that no compiler checks: which room may include which, and how long a file may be.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace headrace {
namespace {

// Dependencies point one way, towards the front. cpu and cuda are leaves: nobody includes them.
const std::vector<std::string> rooms{"base", "tensor", "ops", "cpu", "cuda", "nn", "mixers", "models", "io", "text", "run", "serve", "cli"};
size_t place(const std::string& room) { return static_cast<size_t>(std::find(rooms.begin(), rooms.end(), room) - rooms.begin()); }

struct SourceFile { std::string room, path; std::vector<std::string> lines; };
std::vector<SourceFile> sources() {
  std::vector<SourceFile> all;
  const std::filesystem::path root = std::filesystem::path(HEADRACE_ROOT) / "src";
  for (const auto& e : std::filesystem::recursive_directory_iterator(root)) {
    if (!e.is_regular_file()) continue;
    SourceFile f{e.path().lexically_relative(root).begin()->string(), e.path().lexically_relative(root).string(), {}};
    std::ifstream in(e.path());
    for (std::string line; std::getline(in, line);) f.lines.push_back(line);
    all.push_back(std::move(f));
  }
  return all;
}

TEST(Rooms, IncludeOnlyRoomsBeforeThem) {
  for (const SourceFile& f : sources()) {
    ASSERT_LT(place(f.room), rooms.size()) << f.path << " is in a room that tests/rooms_test.cc does not know";
    for (const std::string& line : f.lines) {
      if (!line.starts_with("#include \"")) continue;
      const std::string included = line.substr(10, line.find('/') - 10);
      EXPECT_TRUE(included == f.room || (place(included) < place(f.room) && included != "cpu" && included != "cuda")) << f.path << ": " << line;
    }
  }
}

TEST(Rooms, HaveNoFileOver600Lines) {
  for (const SourceFile& f : sources()) EXPECT_LE(f.lines.size(), 600u) << f.path;
}

TEST(Rooms, KeepHeavyHeadersOutOfHeaders) {
  for (const SourceFile& f : sources())
    if (f.path.ends_with(".h"))
      for (const char* heavy : {"<iostream>", "<regex>", "<random>", "<filesystem>", "<format>", "using namespace"})
        for (const std::string& line : f.lines) EXPECT_EQ(line.find(heavy), std::string::npos) << f.path << ": " << line;
}

}  // namespace
}  // namespace headrace
