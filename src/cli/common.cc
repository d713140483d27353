// Models by path, name or blueprint; outputs that are refused before work begins where they would write over an input; progress and colour.
#include "cli/common.h"

#include <fmt/core.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/parallel.h"
#include "mixers/catalogue.h"
#include "models/named_blueprints.h"
#include "models/rope.h"
#include "ops/kernels.h"

namespace headrace::cli {

void Common::add_json(Command& c) { c.flag("--json", json, "print one JSON object"); }
void Common::add(Command& c) {
  add_json(c);
  c.option("--threads", threads, "N", "threads to compute with; 0: one for each core that it may use").range("--threads", 0, 64);
  c.choice("--device", device, {"cpu", "cuda"}, "where to compute");
}
Device Common::apply() const {
  if (threads > 0) set_thread_count(static_cast<int>(threads));
  const Device d = device == "cuda" ? Device::cuda : Device::cpu;
  kernels(d);
  return d;
}

std::string assets_folder() {
  if (const char* e = std::getenv("HEADRACE_ASSETS"); e && *e) return e;
  std::error_code none;
  const auto binary = std::filesystem::read_symlink("/proc/self/exe", none).parent_path();
  for (const char* beside : {"assets", "../share/headrace", "../assets"})
    if (std::filesystem::is_directory(binary / beside, none)) return (binary / beside).lexically_normal().string();
  return HEADRACE_ASSETS;
}
std::vector<std::string> shipped_models() {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& e : std::filesystem::directory_iterator(assets_folder(), none)) {
    const auto p = e.path();
    if (std::filesystem::exists(p / "config.json", none)
        || std::filesystem::exists(p / "model.safetensors", none)) names.push_back(p.filename().string());
    else if (p.extension() == ".gguf") names.push_back(p.stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}
std::vector<std::string> model_names() {
  std::vector<std::string> names = shipped_models();
  for (const MixerInfo& m : mixers()) names.emplace_back(m.doc->name);
  for (const NamedBlueprint& b : named_blueprints()) names.push_back(fmt::format("{}-{}", b.name, b.size));
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}
std::string model_path(const std::string& given) {
  const std::string name = given.empty() ? default_model : given;
  if (!given.empty() && file_exists(name)) return name;
  if (name.find('/') == std::string::npos)
    for (const std::string& path : {assets_folder() + "/" + name, assets_folder() + "/" + name + ".gguf"})
      if (file_exists(path) && (is_folder(path) || path.ends_with(".gguf"))) return path;
  if (is_blueprint(name)) return name;
  const std::string known = listed(shipped_models());
  const std::string meant = name.find('/') == std::string::npos ? nearest(name, model_names()) : "";
  fail(name, ": no such file or folder, and no model of that name ships (", known.empty() ? "there are none in " + assets_folder() : "there are: "
      + known, ")", meant.empty() ? "" : "; did you mean " + meant + "?");
}
bool is_blueprint(const std::string& given) {
  if (given.empty() || file_exists(given) || given.find('/') != std::string::npos) return false;
  return find_blueprint(given) || find_mixer(given) || given.find_first_of("=*+|(") != std::string::npos;
}
Loaded open(const std::string& given, LoadOptions options) {
  options.assets = assets_folder();
  const std::string path = model_path(given);
  return is_blueprint(path) ? open_blueprint(path, options) : open_model(path, options);
}
Loaded open(const std::string& given, const Common& common, bool pack, int64_t context) {
  return open(given, {.device = common.apply(), .context = context, .pack = pack});
}

namespace {
namespace fs = std::filesystem;
bool lies_in(const std::string& file, const std::string& folder) {
  std::error_code none;
  const fs::path inner = fs::canonical(file, none), outer = fs::canonical(folder, none);
  return !inner.empty() && !outer.empty() && std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}
// name-00001-of-00003.gguf stands for its siblings too.
bool same_split(const std::string& a, const std::string& b) {
  constexpr size_t ending = 20, tail = 14;         // "-00001-of-00003.gguf", "-of-00003.gguf" after it
  return a.size() == b.size() && a.size() > ending && a.ends_with(".gguf") && a.substr(a.size() - tail, 4) == "-of-"
         && a.substr(a.size() - tail) == b.substr(b.size() - tail) && a.substr(0, a.size() - ending + 1) == b.substr(0, b.size() - ending + 1);
}
bool is_read(const std::string& out, const std::string& in) {
  if (same_file(in, out)) return true;
  std::error_code none;
  if (is_folder(in)) {
    if (lies_in(out, in)) return true;
    for (const auto& e : fs::directory_iterator(in, none))       // by another name too: a link
      if (same_file(e.path().string(), out)) return true;
    return false;
  }
  const fs::path file = in, folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (file.extension() == ".gguf")
    for (const auto& e : fs::directory_iterator(folder, none))
      if (same_split(file.filename().string(), e.path().filename().string()) && same_file(e.path().string(), out)) return true;
  return false;
}
}  // namespace

void check_output(const std::string& out, std::initializer_list<std::string> inputs) {
  if (file_exists(out) && !is_folder(out))
    for (const std::string& in : inputs) expect(!is_read(out, in), out, ": is read as ", in, " too; give the output another name");
  check_writable(out);
}
void check_positions(const Loaded& m, int64_t tokens, int64_t more) {
  if (!m.model.decoder.positions) return;
  const int64_t positions = m.model.decoder.positions.dim(0);
  expect(tokens + std::max<int64_t>(more, 1) - 1 <= positions, m.path, ": ", tokens, " tokens", more > 0 ? text(" and ", more, " more") : "",
      ": the model has ", positions, " learned positions");   // the last token is not read
}
int64_t bound(const Loaded& m, int64_t context) {
  const int64_t positions = m.model.decoder.positions ? m.model.decoder.positions.dim(0) : 0;
  return positions > 0 && context > 0 ? std::min(positions, context) : std::max(positions, context);
}
void tell_beyond_context(const Loaded& m, int64_t tokens) {
  if (m.model.context <= 0 || tokens <= m.model.context || m.model.decoder.positions) return;   // learned positions end: an Error says so
  const bool longer = !m.model.config.find("long_context") && for_context(m.model.config, tokens, m.path).find("long_context");
  fmt::print(stderr, "{}: {} tokens, made for {}: what comes after those may make no sense{}\n", m.name, tokens, m.model.context,
             longer ? fmt::format("; it has frequencies for more: --context {}", tokens) : "");
}

int usage(const Command& c, const std::string& message) {
  fmt::print(stderr, "{}: {} (see {} --help)\n", c.path(), message, c.path());
  return 2;
}
void print_json(const Value& v) { fmt::print("{}\n", to_json(v)); }
bool on_terminal(std::FILE* f) { return isatty(fileno(f)) && (!std::getenv("TERM") || std::string_view(std::getenv("TERM")) != "dumb"); }
namespace {
std::string styled(const char* code, std::string_view s) {
  static const bool colour = on_terminal(stdout) && !std::getenv("NO_COLOR");
  return colour ? fmt::format("\033[{}m{}\033[0m", code, s) : std::string(s);
}
}  // namespace
std::string bold(std::string_view s) { return styled("1", s); }
std::string dim(std::string_view s) { return styled("2", s); }

std::string bytes_text(double bytes) {
  const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  int u = 0;
  while (bytes >= 1024 && u < 4) bytes /= 1024, ++u;
  return u == 0 ? fmt::format("{:.0f} bytes", bytes) : fmt::format("{:.{}f} {}", bytes, bytes < 10 ? 2 : 1, units[u]);
}
std::string count_text(double n) {
  const char* units[] = {"", " K", " M", " G", " T", " P"};
  int u = 0;
  while (n >= 1000 && u < 5) n /= 1000, ++u;
  return u == 0 ? fmt::format("{:.0f}", n) : fmt::format("{:.{}f}{}", n, n < 10 ? 2 : 1, units[u]);
}
size_t peak_rss_bytes() {
  std::ifstream f("/proc/self/status");   // VmHWM, not getrusage: that one inherits the parent's peak through exec
  for (std::string line; std::getline(f, line);)
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  return 0;
}

namespace {
const Clock process_clock;               // static initialisation comes within a millisecond of exec
}
double seconds_since_start() { return process_clock.seconds(); }

Progress::Progress(std::string what, double total, std::string unit)
    : what_(std::move(what)), unit_(std::move(unit)), total_(total), terminal_(on_terminal(stderr)) {}
void Progress::at(double done) {
  const double now = clock_.seconds();
  if (now < (terminal_ ? 0.5 : 2) || (shown_ && now - drawn_ < (terminal_ ? 0.1 : 5) && done < total_)) return;
  drawn_ = now, shown_ = true;
  const double rate = done / now, left = rate > 0 ? (total_ - done) / rate : 0;
  const double share = total_ > 0 ? std::min(1.0, done / total_) : 0;
  if (terminal_) {
    std::string bar(30, ' ');
    std::fill_n(bar.begin(), static_cast<int>(share * 30), '=');
    fmt::print(stderr, "\r{} [{}] {:3.0f} %  {:.1f} {}/s  {:.0f} s left\033[K", what_, bar, 100 * share, rate, unit_, left);
  } else {
    fmt::print(stderr, "{}: {:.0f} of {:.0f} {}, {:.1f} {}/s, {:.0f} s left\n", what_, done, total_, unit_, rate, unit_, left);
  }
}
void Progress::end() {
  if (shown_ && terminal_) fmt::print(stderr, "\r\033[K");
  shown_ = false;
}

}  // namespace headrace::cli
