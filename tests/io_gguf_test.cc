// GGUF as a hostile file: cut at any byte, any bit turned, counts that lie; and what is written reads back.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "error_of.h"
#include "io/gguf.h"

namespace headrace {
namespace {

std::span<const std::byte> bytes_of_string(const std::string& s) { return std::as_bytes(std::span(s.data(), s.size())); }
std::string scratch(const std::string& name) { return testing::TempDir() + "headrace_gguf_" + std::to_string(getpid()) + "_" + name; }
template <class T> std::string raw(T v) { return {reinterpret_cast<const char*>(&v), sizeof v}; }
std::string str(const std::string& s) { return raw(uint64_t{s.size()}) + s; }
std::string head(uint64_t tensors, uint64_t keys, uint32_t version = 3) { return "GGUF" + raw(version) + raw(tensors) + raw(keys); }
std::string entry(const std::string& name, std::vector<int64_t> dims, uint32_t type, uint64_t offset) {
  std::string s = str(name) + raw(static_cast<uint32_t>(dims.size()));
  for (int64_t d : dims) s += raw(d);
  return s + raw(type) + raw(offset);
}
std::string with_data(std::string s, size_t data) { return s.append((32 - s.size() % 32) % 32 + data, '\0'); }
std::string message(const std::string& file) {
  return error_of([&] { GgufFile f(bytes_of_string(file), "f"); });
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

GgufMetadata every_type() {
  GgufMetadata m("made");
  m.add("general.architecture", "test");
  m.add("u32", uint32_t{4000000000u});
  m.add("i32", int32_t{-5});
  m.add("u64", uint64_t{1} << 63);
  m.add("f32", 0.1f);
  m.add("f64", 0.1);
  m.add("yes", true);
  m.add("strings", std::vector<std::string>{"a", "", "\xc3\xa9"});
  m.add("floats", std::vector<float>{1.5f, -2.f});
  m.add("ints", std::vector<int32_t>{1, -2, 3});
  GgufValue nested;
  nested.type = GgufType::array;
  nested.value = GgufArray{GgufType::array, std::vector<GgufValue>{std::vector<int32_t>{1}, std::vector<std::string>{"x"}}};
  m.add("nested", nested);
  return m;
}
std::string small_file() {
  const std::string path = scratch("small.gguf");
  Tensor block = Tensor::zeros({2, 32}, DType::q8_0);
  std::vector<NamedTensor> all = {{"w", Tensor::from({1.f, 2.f, 3.f})}, {"q", block}, {"none", Tensor::empty({0})}};
  write_gguf(path, every_type(), all);
  std::string s = read_text(path);
  std::remove(path.c_str());
  return s;
}

TEST(Gguf, RoundTripKeepsMetadataOfEveryTypeAndEveryTensor) {
  const std::string s = small_file();
  GgufFile f(bytes_of_string(s), "f");
  const auto& m = f.metadata();
  EXPECT_EQ(m.string("general.architecture"), "test");
  EXPECT_EQ(m.integer("u32"), 4000000000);
  EXPECT_EQ(m.integer("i32"), -5);
  EXPECT_EQ(m.number("f32"), static_cast<double>(0.1f));
  EXPECT_EQ(m.number("f64"), 0.1);
  EXPECT_TRUE(m.boolean("yes"));
  EXPECT_EQ(m.strings("strings")[2], "\xc3\xa9");
  EXPECT_EQ(m.numbers("floats")[1], -2);
  EXPECT_EQ(m.integers("ints")[1], -2);
  EXPECT_EQ(m.integers("i32"), std::vector<int64_t>{-5});
  EXPECT_EQ(m.integer("absent", 7), 7);
  EXPECT_THROW(m.integer("u64"), Error);
  EXPECT_EQ(f.tensor("w").f32()[2], 3.f);
  EXPECT_EQ(f.tensor("q").shape(), (Shape{2, 32}));
  const std::string again = scratch("again.gguf");
  write_gguf(again, m, f.tensors().tensors());
  EXPECT_EQ(read_text(again), s);
  std::remove(again.c_str());
}

TEST(Gguf, AWrongTypeNamesFileKeyWantedAndFound) {
  const GgufMetadata m = every_type();
  try {
    m.integer("strings");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "made: 'strings': wanted an integer below 2^63, found array of 3 string");
  }
  EXPECT_THROW(m.integer("f32", 3), Error);
  EXPECT_THROW(m.strings("ints"), Error);
}

TEST(Gguf, TruncatedAtAnyByteOfHeaderOrDataIsAnError) {
  const std::string s = small_file();
  EXPECT_EQ(message(s), "");
  const size_t end_of_data = s.size() - 28;        // the last tensor's 68 bytes are padded to 96
  for (size_t n = 0; n < end_of_data; ++n) EXPECT_NE(message(s.substr(0, n)), "") << n << " of " << s.size();
}

TEST(Gguf, AnyFlippedBitIsReadOrRefusedButNeverCrashes) {
  const std::string s = small_file();
  for (size_t bit = 0; bit < s.size() * 8; ++bit) {
    std::string t = s;
    t[bit / 8] = static_cast<char>(t[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(message(t).find('\n'), std::string::npos);
  }
}

TEST(Gguf, LyingCountsAndLengthsAreRefusedBeforeAnythingIsAllocated) {
  EXPECT_TRUE(has(message(head(uint64_t{1} << 60, 0)), "tensors"));
  EXPECT_TRUE(has(message(head(0, uint64_t{1} << 60)), "keys"));
  EXPECT_NE(message(head(0, 1) + raw(uint64_t{1} << 62) + "abcdefgh"), "");
  const std::string key = head(0, 1) + str("k");
  EXPECT_TRUE(has(message(key + raw(uint32_t{8}) + raw(UINT64_MAX)), "'k'"));
  EXPECT_TRUE(has(message(key + raw(uint32_t{13}) + raw(UINT64_MAX)), "value type"));
  EXPECT_TRUE(has(message(key + raw(uint32_t{9}) + raw(uint32_t{10}) + raw(uint64_t{1} << 61)), "array"));
  std::string deep = key + raw(uint32_t{9});
  for (int i = 0; i < 100; ++i) deep += raw(uint32_t{9}) + raw(uint64_t{1});
  EXPECT_TRUE(has(message(deep), "nested"));
}

TEST(Gguf, LyingTensorsAreRefusedByName) {
  EXPECT_EQ(message(with_data(head(1, 0) + entry("w", {8}, 0, 0), 32)), "");
  EXPECT_TRUE(has(message(with_data(head(1, 0) + entry("w", {9}, 0, 0), 32)), "'w'"));
  EXPECT_TRUE(has(message(with_data(head(1, 0) + entry("w", {-8}, 0, 0), 32)), "'w'"));
  EXPECT_TRUE(has(message(with_data(head(1, 0) + entry("w", {int64_t{1} << 32, int64_t{1} << 32}, 0, 0), 32)), "overflow"));
  EXPECT_TRUE(has(message(with_data(head(1, 0) + entry("w", {8}, 0, 1), 33)), "steps of 32"));
  EXPECT_TRUE(has(message(with_data(head(1, 0) + entry("w", {8}, 0, uint64_t{1} << 63), 32)), "'w'"));
  EXPECT_TRUE(has(message(with_data(head(1, 0) + entry("w", {1, 1, 1, 1, 8}, 0, 0), 32)), "dimensions"));
  EXPECT_TRUE(has(message(with_data(head(1, 0) + entry("w", {31}, 2, 0), 32)), "blocks of 32"));
  EXPECT_TRUE(has(message(with_data(head(1, 0) + entry("w", {256}, 16, 0), 999)), "iq2_xxs"));
  EXPECT_TRUE(has(message(with_data(head(2, 0) + entry("w", {8}, 0, 0) + entry("w", {8}, 0, 32), 64)), "twice"));
  EXPECT_TRUE(has(message(with_data(head(2, 0) + entry("v", {16}, 0, 0) + entry("w", {8}, 0, 32), 64)), "overlap"));
}

TEST(Gguf, BigEndianOldVersionsAndBadAlignmentsAreRefusedByName) {
  EXPECT_TRUE(has(message(head(0, 0, 0x03000000)), "big-endian"));
  EXPECT_TRUE(has(message(head(0, 0, 1)), "version"));
  EXPECT_TRUE(has(message(head(0, 1) + str("general.alignment") + raw(uint32_t{4}) + raw(uint32_t{0})), "alignment"));
  EXPECT_TRUE(has(message(head(0, 1) + str("general.alignment") + raw(uint32_t{4}) + raw(uint32_t{48})), "alignment"));
  EXPECT_TRUE(has(message(head(0, 2) + str("k") + raw(uint32_t{7}) + "\1" + str("k") + raw(uint32_t{7}) + "\1"), "twice"));
}

TEST(Gguf, AFirstPartOpensAllPartsAndALaterOneSaysSo) {
  auto part = [](uint32_t i, const char* name) {
    const std::string path = scratch(text("s-0000", i + 1, "-of-00002.gguf"));
    GgufMetadata m(path);
    m.add("split.no", i);
    m.add("split.count", uint32_t{2});
    m.add("split.tensors.count", int32_t{2});
    write_gguf(path, m, std::vector<NamedTensor>{{name, Tensor::from({static_cast<float>(i)})}});
    return path;
  };
  const std::string first = part(0, "a"), second = part(1, "b");
  GgufFile f(first);
  EXPECT_EQ(f.tensor("b").f32()[0], 1.f);
  EXPECT_THROW(GgufFile{second}, Error);
  std::remove(second.c_str());
  EXPECT_THROW(GgufFile{first}, Error);
  std::remove(first.c_str());
}

}  // namespace
}  // namespace headrace
