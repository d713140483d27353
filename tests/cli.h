// What the tests of the program from outside share: a folder of its own for each, the program run in it, and its answers.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nn/value.h"

namespace headrace {

struct Ran {
  int code;
  std::string out, err;
};
// Each test has a folder of its own, which goes with it.
class Cli : public testing::Test {
 protected:
  static const std::string fixtures;
  void SetUp() override;
  void TearDown() override;
  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  Ran run(const std::string& arguments, const std::string& in = "") const;
  Value json(const std::string& arguments, const std::string& in = "") const;
  void tokens(const std::string& name, std::vector<int64_t> ids, int64_t rows = 1) const;      // a file of input_ids
  void write(const std::string& name, const std::string& bytes) const;
  void one_line(const Ran& r, int code, const std::string& what) const;                        // on stderr, and nothing on stdout
  void refused(const Ran& r, const std::string& says) const;                                   // one line, 1, with these words
  std::string folder_;
};
double number(const Value& v, const char* key);      // NAN where it is not there
std::string string(const Value& v, const char* key);

}  // namespace headrace
