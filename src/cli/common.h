// What the verbs share: their common options, opening a model by path or name, and how they print.
#pragma once
#include <chrono>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "cli/command.h"
#include "nn/value.h"
#include "run/load.h"

namespace headrace::cli {

struct Common {
  bool json = false;
  int64_t threads = 0;                   // 0: one per core
  std::string device = "cpu";
  void add(Command& c);                  // --json --threads --device
  void add_json(Command& c);             // of a verb that computes nothing
  Device apply() const;                  // sets the threads; throws Error for a device that is not there
};

constexpr const char* default_model = "stories260K";
constexpr const char* model_help = "a folder (Hugging Face), a .gguf, an RWKV .pth or .safetensors, the name of a model that ships, or a blueprint";
std::string assets_folder();                                        // env HEADRACE_ASSETS, beside the binary, or of the build
std::vector<std::string> shipped_models();
std::vector<std::string> model_names();  // those, mixers and named blueprints: all that is a model without being a file
std::string model_path(const std::string& given);                   // throws Error that names the models that ship
bool is_blueprint(const std::string& given);                        // or the name of one; no file's, nor of a model that ships
Loaded open(const std::string& given, LoadOptions options);         // assets are filled in
Loaded open(const std::string& given, const Common& common, bool pack = true, int64_t context = 0);   // as LoadOptions

// Before long work: `out` can be written, and is none of the files that are read. A folder stands for all that is in it,
// the first part of a split GGUF for all parts.
void check_output(const std::string& out, std::initializer_list<std::string> inputs);
// One line on stderr where a sequence is longer than the model was made for; recurrent ones have no such bound.
void tell_beyond_context(const Loaded& model, int64_t tokens);
// Throws Error where learned positions (GPT-2) end before `tokens` are read and all `more` after them are said.
void check_positions(const Loaded& model, int64_t tokens, int64_t more);

int64_t bound(const Loaded& model, int64_t context);                // tokens that fit both its learned positions and `context`; 0: no bound

int usage(const Command& c, const std::string& message);            // one line on stderr; gives exit code 2
void print_json(const Value& v);                                    // one line on stdout
bool on_terminal(std::FILE* f);
std::string bold(std::string_view s);                               // on a terminal only
std::string dim(std::string_view s);
std::string bytes_text(double bytes);                               // "1.25 GiB"
std::string count_text(double n);                                   // "134.5 M"
size_t peak_rss_bytes();                                            // of this program since it began

double seconds_since_start();                                       // of the process
struct Clock {
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); }
};

// On stderr: a bar with rate and time left on a terminal; otherwise a plain line every few seconds once the work is long.
class Progress {
 public:
  Progress(std::string what, double total, std::string unit);
  ~Progress() { end(); }
  void at(double done);
  void end();                            // before anything else is shown: the bar goes from its line
  void of(double total) { total_ = total; }

 private:
  std::string what_, unit_;
  double total_, drawn_ = 0;
  bool terminal_, shown_ = false;
  Clock clock_;
};

// A list of JSON of what holds numbers, whole or not.
Array numbers(const auto& v) {
  Array all;
  for (const auto x : v) {
    if constexpr (std::is_floating_point_v<std::remove_cvref_t<decltype(x)>>) all.push_back(double{x});
    else all.push_back(static_cast<int64_t>(x));
  }
  return all;
}

}  // namespace headrace::cli
