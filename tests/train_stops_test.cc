// Runs that are cut end as one that is not: killed at any step and in the middle of a save, told to end, or left without room on the disk.
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "cli.h"
#include "io/safetensors.h"
#include "small_run.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;

class TrainStops : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    write("text.txt", small_text()), write("r.toml", small_recipe(50, 1, false));

  }
  std::string bytes(const std::string& name) const { return read_text(at(name)); }
  int64_t step_of(const std::string& name) const { return std::stoll(SafetensorsFile(at(name)).metadata().at("step")); }
};

// A run of the program beside the test, and what happens in its folder, as it happens.
class Beside {
 public:
  Beside(const std::string& folder, const std::string& arguments, const std::string& watched) {
    notices_ = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    ::inotify_add_watch(notices_, watched.c_str(), IN_CREATE | IN_MODIFY | IN_MOVED_TO);
    EXPECT_EQ(::pipe(ends_), 0);
    child_ = ::fork();
    if (child_ == 0) {
      if (::chdir(folder.c_str()) != 0 || ::dup2(ends_[1], 2) < 0 || ::dup2(ends_[1], 1) < 0) ::_exit(126);
      ::close(ends_[0]), ::close(ends_[1]);
      ::execl("/bin/sh", "sh", "-c", ("exec '" HEADRACE_BINARY "' " + arguments).c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends_[1]);
  }
  ~Beside() {
    ::close(ends_[0]), ::close(notices_);
    if (!waited_) kill(SIGKILL);
  }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;

  // Until `seen` is true of one of the folder's next events; false where the run ended before.
  template <class F>
  bool until(F seen) {
    for (;;) {
      pollfd both[] = {{notices_, POLLIN, 0}, {ends_[0], POLLIN, 0}};
      if (::poll(both, 2, 60'000) <= 0) return false;
      if (both[0].revents & POLLIN) {
        alignas(inotify_event) char events[4096];
        const ssize_t n = ::read(notices_, events, sizeof events);
        for (ssize_t at = 0; at < n;) {
          const auto* e = reinterpret_cast<const inotify_event*>(events + at);
          at += static_cast<ssize_t>(sizeof *e + e->len);
          if (e->len && seen(e->mask, std::string(e->name))) return true;
        }
        continue;                                            // what happened before the end is looked at first
      }
      char said[4096];
      if (both[1].revents && ::read(ends_[0], said, sizeof said) <= 0) return false;
    }
  }
  int kill(int signal) {                                     // the status
    int status = 0;
    ::kill(child_, signal), ::waitpid(child_, &status, 0);
    waited_ = true;
    return status;
  }

 private:
  int notices_ = -1, ends_[2] = {-1, -1};
  pid_t child_ = -1;
  bool waited_ = false;
};
// The last whole line's step; 0: none.
int64_t logged(const std::string& file) {
  const std::string all = file_exists(file) ? read_text(file) : "";
  const size_t end = all.rfind('\n'), at = end == all.npos ? all.npos : all.rfind("\"step\": ", end);
  return at == all.npos ? 0 : std::stoll(all.substr(at + 8));
}

TEST_F(TrainStops, ARunThatIsKilledTwentyTimesEndsAsOneThatIsNot) {
  ASSERT_EQ(run("train r.toml --threads 1 --out whole").code, 0);
  fs::create_directories(at("cut"));
  const Philox random{.seed = 5};
  std::set<int64_t> steps;
  int kills = 0, in_a_save = 0, between = 0;
  for (int i = 0; i < 20; ++i) {
    Beside run(folder_, "train r.toml --threads 1 --out cut", at("cut"));
    const int64_t wanted = 1 + 2 * i;
    bool reached = run.until([&](uint32_t what, const std::string& name) {
      return name == "log.jsonl" && (what & IN_MODIFY) && logged(at("cut/log.jsonl")) >= wanted;
    });
    const int kind = i % 4;                                  // as the step is logged, as its save begins, between its two files, some time later
    if (kind == 1) reached = reached && run.until([](uint32_t what, const std::string& name) {
      return (what & IN_CREATE) && name.starts_with("training.safetensors.tmp-");
    });
    if (kind == 2) reached = reached && run.until([](uint32_t what, const std::string& name) {
      return (what & IN_MOVED_TO) && name == "training.safetensors";
    });
    for (volatile uint32_t spin = kind == 3 ? random.bits(static_cast<uint64_t>(i)) % 20'000'000 : 0; spin > 0;) spin = spin - 1;
    const int status = run.kill(SIGKILL);
    if (!reached || !WIFSIGNALED(status)) continue;
    ++kills;
    steps.insert(logged(at("cut/log.jsonl")));
    for (const auto& e : fs::directory_iterator(at("cut"))) in_a_save += e.path().filename().string().find(".tmp-") != std::string::npos;
    between += kind == 2;
    if (file_exists(at("cut/training.safetensors"))) { EXPECT_GE(step_of("cut/training.safetensors"), wanted - 1); }
  }
  EXPECT_GE(kills, 18);                                      // of 20; on a busy machine some meet at one step
  EXPECT_GE(steps.size(), 10u);
  EXPECT_GE(in_a_save, 3);
  EXPECT_GE(between, 4);
  EXPECT_LT(*steps.rbegin(), 50);
  ASSERT_EQ(run("train r.toml --threads 1 --out cut").code, 0);
  EXPECT_TRUE(bytes("whole/model.safetensors") == bytes("cut/model.safetensors"));
  for (const auto& e : fs::directory_iterator(at("cut"))) EXPECT_EQ(e.path().filename().string().find(".tmp-"), std::string::npos) << e.path();
  std::string log = bytes("cut/log.jsonl");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 50);   // each step once
}

TEST_F(TrainStops, AFolderHasOneRunAtATime) {
  fs::create_directories(at("cut"));
  Beside first(folder_, "train r.toml --threads 1 --out cut --set train.steps=100000", at("cut"));
  ASSERT_TRUE(first.until([&](uint32_t, const std::string& name) { return name == "log.jsonl" && logged(at("cut/log.jsonl")) >= 2; }));
  const Ran second = run("train r.toml --threads 1 --out cut --set train.steps=100000 --json");
  one_line(second, 1, "a second run");
  EXPECT_NE(second.err.find("cut: another run is in this folder"), std::string::npos) << second.err;
  first.kill(SIGKILL);
  EXPECT_EQ(run("train r.toml --threads 1 --out cut --restart --json --set train.steps=2").code, 0) << "a lock ends with its process";
}
TEST_F(TrainStops, ARunThatIsToldToEndSavesFirst) {
  ASSERT_EQ(run("train r.toml --threads 1 --out whole").code, 0);
  fs::create_directories(at("cut"));
  {
    Beside run(folder_, "train r.toml --threads 1 --out cut --set save.every=0", at("cut"));
    ASSERT_TRUE(run.until([&](uint32_t, const std::string& name) { return name == "log.jsonl" && logged(at("cut/log.jsonl")) >= 20; }));
    const int status = run.kill(SIGTERM);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGTERM) << status;
  }
  EXPECT_GE(step_of("cut/training.safetensors"), 20);
  EXPECT_LT(step_of("cut/training.safetensors"), 50);
  ASSERT_EQ(run("train r.toml --threads 1 --out cut").code, 0);
  EXPECT_TRUE(bytes("whole/model.safetensors") == bytes("cut/model.safetensors"));
}

// A command in a folder d where only so many KiB may be written, and then again where there is room; what d holds in the end is in out. What
// the first said is in the file stderr, its exit code in `code`. `before` and `between` are commands too.
using Script = std::string(int64_t kib, const std::string& before, const std::string& command, const std::string& between);
struct Disk {
  const char* name;
  const char* full;                                          // what the system says then
  Script* script;
};
std::string in_tmpfs(int64_t kib, const std::string& before, const std::string& command, const std::string& between) {
  return "unshare --user --map-root-user --mount sh -c '"
         "mkdir -p d && mount -t tmpfs -o size=" + std::to_string(kib) + "k none d && " + before + "; "
         + command + " >stdout 2>stderr; echo $? >code; " + between + "; mount -o remount,size=64m d && " + command + " >/dev/null 2>again && "
         "rm -rf out && cp -r d out'";
}
std::string with_limit(int64_t kib, const std::string& before, const std::string& command, const std::string& between) {
  return "bash -c 'rm -rf d out; mkdir d; " + before + "; (ulimit -f " + std::to_string(kib) + "; " + command + " >stdout 2>stderr; echo $? >code); "
         + between + "; " + command + " >/dev/null 2>again && cp -r d out'";
}
const Disk tmpfs{"tmpfs", "No space left on device", in_tmpfs}, limit{"limit", "File too large", with_limit};
class FullDisk : public TrainStops, public testing::WithParamInterface<Disk> {
 protected:
  void SetUp() override {
    TrainStops::SetUp();
    const std::string mounts = "cd '" + folder_ + "' && unshare --user --map-root-user --mount sh -c 'mkdir t && mount -t tmpfs none t' 2>/dev/null";
    if (GetParam().name == std::string("tmpfs") && std::system(mounts.c_str()) != 0)
      GTEST_SKIP() << "this system gives no mounts of its own to a user; the limit of a file's size is tested in their place";
  }
  // The command's exit code where there was no room.
  int run_out(int64_t kib, const std::string& command, const std::string& before = "true", const std::string& between = "true") {
    const std::string program = std::string("\"") + HEADRACE_BINARY "\" ";
    const std::string script = GetParam().script(kib, before, program + command, between);
    EXPECT_EQ(std::system(("cd '" + folder_ + "' && " + script).c_str()), 0) << script << "\n" << (file_exists(at("again")) ? bytes("again") : "");
    return std::stoi(bytes("code"));
  }
  void said_one_line(const std::string& what) const {
    const std::string said = bytes("stderr");
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << what << "\n" << said;
    EXPECT_NE(said.find(GetParam().full), said.npos) << what << "\n" << said;
    EXPECT_EQ(bytes("stdout"), "") << what;
  }
};

TEST_P(FullDisk, TrainingSaysSoLosesNothingAndGoesOnToTheSameWeights) {
  const std::string train = "train r.toml --threads 1 --json --set train.steps=8 --set save.every=2 --out ";
  ASSERT_EQ(run(train + "whole").code, 0);
  const auto kib = [&](const char* name) { return static_cast<int64_t>(fs::file_size(at(name)) / 1024); };
  const int64_t state = kib("whole/training.safetensors"), model = kib("whole/model.safetensors"), all = 2 * state + model + 100;
  const bool tmpfs = GetParam().name == std::string("tmpfs");
  int nothing_saved = 0, later = 0, fits = 0;
  // Of a file system: before the first save, in each of its files, and in those of the second. Of a limit: files below and above it.
  std::vector<int64_t> sizes{state / 2, state + model / 2, state + model + 20, state + model + state / 2, all};
  if (!tmpfs) sizes = {model / 2, (model + state) / 2, state + 20};
  for (const int64_t size : sizes) {
    const int code = run_out(size, train + "d/r", "true", "rm -f kept.safetensors; cp d/r/training.safetensors kept.safetensors 2>/dev/null");
    const std::string what = GetParam().name + std::string(" of ") + std::to_string(size) + " KiB";
    if (code == 0) {
      ++fits;
    } else {
      EXPECT_EQ(code, 1) << what;
      said_one_line(what);
      const std::string said = bytes("stderr"), after = "d/r has the run as it was after step ";
      const size_t place = said.find(after);
      EXPECT_EQ(place == said.npos, said.find("nothing was saved before") != said.npos) << said;
      if (place == said.npos) {
        EXPECT_FALSE(file_exists(at("kept.safetensors"))) << what;
        ++nothing_saved;
      } else {
        EXPECT_EQ(step_of("kept.safetensors"), std::stoll(said.substr(place + after.size()))) << what << said;
        ++later;
      }
    }
    EXPECT_TRUE(bytes("whole/model.safetensors") == bytes("out/r/model.safetensors")) << what;
  }
  EXPECT_GE(nothing_saved, 1);
  EXPECT_GE(later, tmpfs ? 2 : 0);
  EXPECT_EQ(fits, 1);
}

TEST_P(FullDisk, ProbesKeepTheirResultsAndGoOn) {
  const std::string probe = "probe even_pairs --blueprint \"d=8 gru\" --steps 2 --seeds 12 --samples 4 --threads 1 --json --results ";
  ASSERT_EQ(run(probe + "whole").code, 0);
  const auto results = [&](const std::string& name) {        // by key; what took time differs
    std::map<std::string, std::string> all;
    const std::string text = bytes(name);
    for (size_t at = 0, end; (end = text.find('\n', at)) != text.npos; at = end + 1) try {
      const Value v = parse_json(std::string_view(text).substr(at, end - at), name);
      all[string(v, "key")] = to_json(*v.find("tests"));
    } catch (const Error&) {                                 // the line that the disk had no room for
    }
    return all;
  };
  const int64_t line = static_cast<int64_t>(fs::file_size(at("whole/even_pairs.jsonl"))) / 12;
  EXPECT_GT(12 * line, 4096);                                // more than the page that is left
  EXPECT_EQ(run_out(4, probe + "d/p", "true", "rm -f kept; cp d/p/even_pairs.jsonl kept"), 1);
  const std::string said = bytes("stderr");                  // a line a cell, and then why there is no more
  EXPECT_NE(said.find(std::string("headrace: d/p/even_pairs.jsonl: cannot write: ") + GetParam().full), said.npos) << said;
  EXPECT_EQ(said.find("headrace: "), said.rfind("headrace: ")) << said;
  const std::string kept = bytes("kept");
  EXPECT_GE(std::count(kept.begin(), kept.end(), '\n'), 1);
  EXPECT_EQ(results("out/p/even_pairs.jsonl"), results("whole/even_pairs.jsonl"));
  EXPECT_NE(bytes("out/p/even_pairs.jsonl").find(kept.substr(0, kept.find('\n'))), std::string::npos);   // what was kept was not run again
}

TEST_P(FullDisk, QuantizeLeavesTheFileThatWasThere) {
  ASSERT_EQ(run("quantize stories260K whole.gguf --type F16").code, 0);
  const int64_t kib = static_cast<int64_t>(fs::file_size(at("whole.gguf")) / 1024);
  EXPECT_EQ(run_out(kib / 2, "quantize stories260K d/q.gguf --type F16", "echo old >d/q.gguf", "rm -rf kept; cp -r d kept"), 1);
  said_one_line("quantize");
  EXPECT_EQ(bytes("kept/q.gguf"), "old\n");
  EXPECT_EQ(std::distance(fs::directory_iterator(at("kept")), fs::directory_iterator{}), 1);
  EXPECT_TRUE(bytes("whole.gguf") == bytes("out/q.gguf"));
}
INSTANTIATE_TEST_SUITE_P(All, FullDisk, testing::Values(tmpfs, limit), [](const auto& i) { return std::string(i.param.name); });

}  // namespace
}  // namespace headrace
