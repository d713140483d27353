// The house rules that a compiler does not check: rooms depend downwards only (DESIGN.md section 4), headers stay light,
// files open with what they are, files and lines stay short.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;
const fs::path root = HEADRACE_ROOT;
const std::vector<std::string> rooms{"base", "tensor", "ops",   "cpu",   "cuda", "nn",    "mixers", "models", "io",  "text",
                                     "run",  "serve",  "train", "eval",  "probe", "race", "search", "distill", "cli"};

struct Source { std::string path, room; std::vector<std::string> lines; };   // path from the root, room empty outside src

std::vector<Source> sources() {
  std::vector<Source> all;
  for (const char* top : {"src", "tests", "bench"}) {
    if (!fs::exists(root / top)) continue;
    for (const auto& e : fs::recursive_directory_iterator(root / top)) {
      const std::string kind = e.path().extension().string();
      if (!e.is_regular_file() || (kind != ".cc" && kind != ".h" && kind != ".cu")) continue;
      Source s{fs::relative(e.path(), root).string(), "", {}};
      if (std::string(top) == "src") s.room = fs::relative(e.path(), root / top).begin()->string();
      const std::string text = read_text(e.path().string());
      for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        s.lines.push_back(text.substr(at, end - at));
        at = end + 1;
      }
      all.push_back(std::move(s));
    }
  }
  return all;
}
void for_each_line(const std::function<void(const Source&, const std::string&, const std::string& where)>& f) {
  for (const Source& s : sources())
    for (size_t i = 0; i < s.lines.size(); ++i) f(s, s.lines[i], s.path + ":" + std::to_string(i + 1));
}
// What stands between the marks of an include; empty for any other line.
std::string included(const std::string& line, char open, char close) {
  if (!line.starts_with("#include ") || line.size() < 11 || line[9] != open) return "";
  return line.substr(10, line.find(close, 10) - 10);
}
size_t columns(const std::string& line) {              // of UTF-8
  return static_cast<size_t>(std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

TEST(Rooms, DependDownwardsOnly) {
  auto place = [](const std::string& room) { return std::find(rooms.begin(), rooms.end(), room) - rooms.begin(); };
  for_each_line([&](const Source& s, const std::string& line, const std::string& where) {
    const std::string file = included(line, '"', '"');
    if (s.room.empty() || file.empty() || !fs::exists(root / "src" / file)) return;   // a library's own way to be included
    const std::string room = file.substr(0, file.find('/'));
    EXPECT_LT(place(s.room), std::ssize(rooms)) << s.path << " is in no room of DESIGN.md";
    if (room == s.room) return;
    EXPECT_LT(place(room), place(s.room)) << where << " includes " << file;
    EXPECT_TRUE(room != "cpu" && room != "cuda") << where << " includes " << file << "; a backend is reached through ops/kernels.h";
    const bool backend = s.room == "cpu" || s.room == "cuda";
    EXPECT_TRUE(!backend || room == "base" || room == "tensor" || file == "ops/kernels.h" || file.starts_with("ops/kernels/"))
        << where << " includes " << file;
  });
}

TEST(Rooms, HeadersStayLight) {
  for_each_line([](const Source& s, const std::string& line, const std::string& where) {
    if (!s.path.ends_with(".h")) return;
    for (const char* heavy : {"iostream", "regex", "random", "filesystem", "format"})
      EXPECT_NE(included(line, '<', '>'), heavy) << where;
    EXPECT_FALSE(line.starts_with("using namespace")) << where;
  });
}

TEST(Rooms, FilesOpenWithWhatTheyAre) {
  for (const Source& s : sources()) EXPECT_TRUE(!s.lines.empty() && s.lines[0].starts_with("// ")) << s.path;
}

TEST(Rooms, FilesAndLinesStayShort) {
  for (const Source& s : sources()) EXPECT_LE(s.lines.size(), 600u) << s.path;
  for_each_line([](const Source&, const std::string& line, const std::string& where) { EXPECT_LE(columns(line), 150u) << where; });
}

}  // namespace
}  // namespace headrace
