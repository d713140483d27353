// The program run by a shell in a folder of its own, its exit code and both streams read back.
#include "cli.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "io/safetensors.h"

namespace headrace {

const std::string Cli::fixtures = HEADRACE_ROOT "/tests/fixtures/";

void Cli::SetUp() {
  folder_ = testing::TempDir() + "headrace-cli-" + std::to_string(::getpid()) + "-" + testing::UnitTest::GetInstance()->current_test_info()->name();
  std::filesystem::create_directories(folder_);
}
void Cli::TearDown() { std::filesystem::remove_all(folder_); }
Ran Cli::run(const std::string& arguments, const std::string& in) const {
  write("stdin", in);
  const std::string command = "cd '" + folder_ + "' && TMPDIR='" + folder_ + "' '" HEADRACE_BINARY "' " + arguments + " <stdin >stdout 2>stderr";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(at("stdout")), read_text(at("stderr"))};
}
Value Cli::json(const std::string& arguments, const std::string& in) const {
  const Ran r = run(arguments, in);
  EXPECT_EQ(r.code, 0) << arguments << "\n" << r.err;
  return r.code == 0 ? parse_json(r.out, arguments) : Value(Object{});
}
void Cli::tokens(const std::string& name, std::vector<int64_t> ids, int64_t rows) const {
  const Tensor t = Tensor::from(std::span<const int64_t>(ids), {rows, static_cast<int64_t>(ids.size()) / rows});
  write_safetensors(at(name), std::vector<NamedTensor>{{"input_ids", t}});
}
void Cli::write(const std::string& name, const std::string& bytes) const { std::ofstream(at(name)) << bytes; }
void Cli::one_line(const Ran& r, int code, const std::string& what) const {
  EXPECT_EQ(r.code, code) << what << "\n" << r.out << r.err;
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << what << "\n" << r.err;
  EXPECT_EQ(r.out, "") << what;
}

void Cli::refused(const Ran& r, const std::string& says) const {
  one_line(r, 1, says);
  EXPECT_NE(r.err.find(says), std::string::npos) << r.err;
}

double number(const Value& v, const char* key) {
  const Value* x = v.find(key);
  if (!x) return NAN;
  if (const double* d = x->get<double>()) return *d;
  return x->get<int64_t>() ? static_cast<double>(*x->get<int64_t>()) : NAN;
}
std::string string(const Value& v, const char* key) {
  const Value* x = v.find(key);
  return x && x->get<std::string>() ? *x->get<std::string>() : "";
}

}  // namespace headrace
