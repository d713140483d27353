// Every reader of hostile bytes on its corpus (tests/fuzz/corpus/NAME/*: small seeds and past failures), and on fixtures that are
// cut off or have flipped bits. Each outcome is success or an Error of one line; memory stays bounded, whatever the file says.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/file.h"
#include "base/random.h"
#include "fuzz/targets.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;
const fs::path tests = fs::path(HEADRACE_ROOT) / "tests";

// While it lives the process may map only so much more: an allocation of the file's choosing becomes std::bad_alloc, or
// an Error that says so.
struct MemoryLimit {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  explicit MemoryLimit(size_t) {}                  // they map terabytes for themselves
#else
  rlimit before{};
  explicit MemoryLimit(size_t more) {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    getrlimit(RLIMIT_AS, &before);
    const rlimit now{.rlim_cur = std::min<rlim_t>(pages * 4096 + more, before.rlim_max), .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_AS, &now);
  }
  ~MemoryLimit() { setrlimit(RLIMIT_AS, &before); }
#endif
};

// Those that read no file of their own: their errors name an operator, or a place in the text.
const std::set<std::string_view> unnamed{"blueprint", "chat_template", "op"};

bool reads(const fuzz::Target& target, std::string_view bytes, const std::string& what) {
  try {
    target.read(bytes);
    return true;
  } catch (const Error& e) {
    const std::string message = e.what();
    EXPECT_FALSE(message.empty()) << target.name << " " << what;
    if (!unnamed.contains(target.name)) { EXPECT_TRUE(message.starts_with("file")) << target.name << " " << what << ": " << message; }
    EXPECT_EQ(message.find('\n'), message.npos) << target.name << " " << what << ": " << message;
    EXPECT_EQ(message.find("out of memory"), message.npos) << target.name << " " << what << ": " << message;
    EXPECT_LT(message.size(), 4096u) << target.name << " " << what;
  } catch (const std::exception& e) {
    ADD_FAILURE() << target.name << " " << what << ": not an Error: " << e.what();
  }
  return false;
}

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> all;
  if (fs::exists(folder))
    for (const auto& f : fs::directory_iterator(folder)) all.push_back(f.path().string());
  std::sort(all.begin(), all.end());
  return all;
}

std::string fixture(const std::string& path) { return (tests / "fixtures" / path).string(); }
const std::vector<std::pair<std::string, std::vector<std::string>>> fixtures = {
    {"config", {fixture("models/llama_yarn/config.json"), fixture("models/griffin/config.json"), fixture("models/rwkv7_fla/config.json")}},
    {"gguf", {fixture("gguf/llama_q4_k.gguf"), fixture("gguf/rwkv7_f16.gguf")}},
    {"gguf_model", {fixture("gguf/gemma3.gguf"), fixture("gguf/mamba2.gguf")}},
    {"pth", {fixture("models/rwkv7/model.pth"), fixture("pth/module.pth")}},
    {"safetensors", {fixture("models/llama/model.safetensors"), fixture("blocks_q4_0.safetensors")}},
};

class Corpus : public testing::TestWithParam<fuzz::Target> {
 protected:
  std::vector<std::string> seeds() const {
    std::vector<std::string> all = files_in(tests / "fuzz" / "corpus" / GetParam().name);
    for (const auto& [name, files] : fixtures)
      if (name == GetParam().name) all.insert(all.end(), files.begin(), files.end());
    return all;
  }
};

TEST_P(Corpus, EverySeedAndPastFailureIsReadOrRefused) {
  for (const std::string& file : seeds()) reads(GetParam(), read_text(file), file);
  EXPECT_FALSE(seeds().empty());
}
TEST_P(Corpus, CutOffAnywhereIsReadOrRefused) {
  for (const std::string& file : seeds()) {
    const std::string bytes = read_text(file);
    const MemoryLimit limit(size_t{512} << 20);
    const size_t step = std::max<size_t>(1, bytes.size() / 400);
    for (size_t n = 0; n < bytes.size(); n += n < 200 || n + 100 > bytes.size() ? 1 : step)
      reads(GetParam(), bytes.substr(0, n), text(file, " cut to ", n));
  }
}
// Half of the flips are in the first 4 KiB, where headers are.
TEST_P(Corpus, FlippedBitsAreReadOrRefused) {
  for (const std::string& file : seeds()) {
    const std::string bytes = read_text(file);
    const MemoryLimit limit(size_t{512} << 20);
    const Philox random{.seed = 7};
    for (uint64_t i = 0; i < 1500 && !bytes.empty(); ++i) {
      std::string damaged = bytes;
      const size_t span = i % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 4096);
      for (uint64_t k = 0; k <= i % 3; ++k) {
        const uint32_t r = random.bits(8 * i + k);
        damaged[r / 8 % span] = static_cast<char>(damaged[r / 8 % span] ^ (1 << r % 8));
      }
      reads(GetParam(), damaged, text(file, " with flips ", i));
    }
  }
}
TEST_P(Corpus, LongRunsOfOneByteAndNoBytesAreReadOrRefused) {
  const MemoryLimit limit(size_t{512} << 20);
  reads(GetParam(), "", "nothing");
  for (int b : {0x00, 0x28, 0x5b, 0x7b, 0x7d, 0x80, 0xff}) {
    reads(GetParam(), std::string(100000, static_cast<char>(b)), text("bytes ", b));
    for (const std::string& file : seeds()) {
      std::string bytes = read_text(file);
      for (size_t at = 0; at + 8 <= std::min<size_t>(bytes.size(), 2048); at += 8) {
        std::string damaged = bytes;
        std::fill_n(damaged.begin() + static_cast<int64_t>(at), 8, static_cast<char>(b));
        reads(GetParam(), damaged, text(file, " with ", b, " at ", at));
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, Corpus, testing::ValuesIn(fuzz::targets), [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace headrace
