// The documents keep up with the code: every mixer has a page in docs/math, every page has the same parts, every link leads somewhere.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "mixers/catalogue.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;
const fs::path root = HEADRACE_ROOT, math = root / "docs/math";

struct Page {
  fs::path path;
  std::string text;
  std::set<std::string> names;                         // `a`, `b` of the first line: the mixers it defines
};
std::vector<Page> pages(const fs::path& folder) {
  std::vector<Page> all;
  for (const auto& e : fs::recursive_directory_iterator(folder)) {
    if (e.path().extension() != ".md") continue;
    Page p{e.path(), read_text(e.path().string()), {}};
    const std::string title = p.text.substr(0, p.text.find('\n'));
    for (size_t a = title.find('`'), b; a != std::string::npos && (b = title.find('`', a + 1)) != std::string::npos; a = title.find('`', b + 1))
      p.names.insert(title.substr(a + 1, b - a - 1));
    all.push_back(std::move(p));
  }
  return all;
}

TEST(Docs, EveryMixerHasAPageOfItsMathematics) {
  std::set<std::string> named;
  for (const Page& p : pages(math)) named.insert(p.names.begin(), p.names.end());
  for (const MixerInfo& m : mixers())
    EXPECT_TRUE(named.count(m.doc->name)) << "no page of docs/math has `" << m.doc->name << "` in its first line, as \"# Title (`name`)\"";
}

TEST(Docs, PagesOfMixersHaveTheSameParts) {
  int found = 0;
  for (const Page& p : pages(math)) {
    if (p.names.empty()) continue;
    ++found;
    size_t at = 0;
    for (const char* part : {"Equations", "Backward", "Parameters", "State and cost", "Pitfalls", "Source"}) {
      at = p.text.find(std::string("\n## ") + part + "\n", at);
      ASSERT_NE(at, std::string::npos) << p.path << ": no \"## " << part << "\" in its place";
    }
    EXPECT_NE(p.text.find("(notation.md)"), std::string::npos) << p.path << ": does not say where its letters are explained";
  }
  EXPECT_GT(found, 0);
}

TEST(Docs, LinksLeadSomewhere) {
  std::vector<Page> all = pages(root / "docs");
  all.push_back({root / "README.md", read_text((root / "README.md").string()), {}});
  for (Page& p : all) {
    for (size_t a, b; (a = p.text.find("```")) != std::string::npos && (b = p.text.find("```", a + 3)) != std::string::npos;)
      p.text.erase(a, b + 3 - a);                      // code has no links
    for (size_t at = p.text.find("]("); at != std::string::npos; at = p.text.find("](", at + 1)) {
      std::string to = p.text.substr(at + 2, p.text.find(')', at) - at - 2);
      to = to.substr(0, to.find('#'));
      if (to.empty() || to.find("://") != std::string::npos) continue;
      EXPECT_TRUE(fs::exists(p.path.parent_path() / to)) << p.path << " links to " << to;
    }
  }
}

TEST(Docs, WhatIsSaidToBeAMixersGateIsTheCode) {
  const std::string page = read_text((root / "docs/add-a-mixer.md").string()), code = read_text((root / "src/mixers/linear_attention.cc").string());
  const size_t begin = page.find("LinearAttention Gla::bind"), end = page.find("```", begin);
  ASSERT_NE(begin, std::string::npos);
  EXPECT_NE(code.find(page.substr(begin, end - begin)), std::string::npos) << "docs/add-a-mixer.md: GLA's gate is no longer what the code has";
}

TEST(Docs, TheIndexNamesEveryPage) {
  const std::string index = read_text((math / "README.md").string());
  for (const Page& p : pages(math)) {
    const std::string name = p.path.filename().string();
    EXPECT_TRUE(name == "README.md" || index.find("(" + name + ")") != std::string::npos) << "docs/math/README.md does not link to " << name;
  }
}

}  // namespace
}  // namespace headrace
