// Archives as torch.save writes them against the same tensors in safetensors, and pickles built by hand that no writer would make.
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "error_of.h"
#include "io/pth.h"
#include "io/zip.h"

namespace headrace {
namespace {

std::string root(const std::string& path) { return std::string(HEADRACE_ROOT) + "/tests/fixtures/" + path; }
std::span<const std::byte> bytes_of_string(const std::string& s) { return std::as_bytes(std::span(s.data(), s.size())); }
template <class T> std::string raw(T v) { return {reinterpret_cast<const char*>(&v), sizeof v}; }
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A ZIP archive of stored members, their data in steps of 64 bytes, with a ZIP64 end record as torch.save writes it.
std::string zip(const std::vector<std::pair<std::string, std::string>>& members, uint16_t method = 0, uint16_t flags = 0, bool zip64 = false) {
  std::string s, directory;
  for (const auto& [name, data] : members) {
    const auto at = static_cast<uint32_t>(s.size()), size = static_cast<uint32_t>(data.size());
    const auto pad = static_cast<uint16_t>((64 - (at + 30 + name.size()) % 64) % 64);
    const std::string middle = raw(flags) + raw(method) + raw(uint64_t{0}) + raw(size) + raw(size) + raw(static_cast<uint16_t>(name.size()));
    s += raw(uint32_t{0x04034b50}) + raw(uint16_t{0}) + middle + raw(pad) + name + std::string(pad, 'Z') + data;
    directory += raw(uint32_t{0x02014b50}) + raw(uint32_t{0}) + middle + raw(uint16_t{0}) + raw(uint16_t{0}) + raw(uint64_t{0}) + raw(at) + name;
  }
  const auto count = static_cast<uint16_t>(members.size());
  const auto at = static_cast<uint32_t>(s.size()), size = static_cast<uint32_t>(directory.size());
  s += directory;
  if (zip64) {
    const uint64_t end = s.size();
    s += raw(uint32_t{0x06064b50}) + raw(uint64_t{44}) + raw(uint32_t{0}) + raw(uint64_t{0}) + raw(uint64_t{count}) + raw(uint64_t{count})
        + raw(uint64_t{size}) + raw(uint64_t{at});
    s += raw(uint32_t{0x07064b50}) + raw(uint32_t{0}) + raw(end) + raw(uint32_t{1});
    return s + raw(uint32_t{0x06054b50}) + raw(uint32_t{0}) + raw(UINT32_MAX) + raw(UINT64_MAX) + raw(uint16_t{0});
  }
  return s + raw(uint32_t{0x06054b50}) + raw(uint32_t{0}) + raw(count) + raw(count) + raw(size) + raw(at) + raw(uint16_t{0});
}

// Pieces of a pickle.
std::string str(const std::string& s) { return "X" + raw(static_cast<uint32_t>(s.size())) + s; }
std::string number(int32_t v) { return "J" + raw(v); }
std::string numbers(const std::vector<int>& v) {
  std::string s = "(";
  for (int n : v) s += number(n);
  return s + "t";
}
std::string storage(const std::string& type, const std::string& key, int32_t count) {
  return "(" + str("storage") + "ctorch\n" + type + "\n" + str(key) + str("cpu") + number(count) + "tQ";
}
std::string tensor(const std::string& storage, int offset, const std::vector<int>& shape, const std::vector<int>& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(shape) + numbers(strides)
      + "\x89" "ccollections\nOrderedDict\n)RtR";
}
std::string dict(const std::string& items) { return "\x80\x02}(" + items + "u."; }
std::string floats(const std::vector<float>& v) { return {reinterpret_cast<const char*>(v.data()), v.size() * 4}; }
std::string archive(const std::string& pickle, const std::string& data = floats({1, 2, 3, 4})) {
  return zip({{"m/data.pkl", pickle}, {"m/byteorder", "little"}, {"m/data/0", data}});
}
const std::string four = storage("FloatStorage", "0", 4);

std::string message(const std::string& file) {
  return error_of([&] { read_pth(bytes_of_string(file), "f"); });
}
std::string of_pickle(const std::string& pickle) { return message(archive(pickle)); }

TEST(Pth, ArchivesOfTorchHoldTheTensorsOfTheirSafetensorsTwins) {
  for (const char* model : {"rwkv5", "rwkv6", "rwkv7"}) {
    TensorFile pth = open_tensors(root(text("models/", model, "/model.pth"))),
        other = open_tensors(root(text("models/", model, "/model.safetensors")));
    ASSERT_EQ(pth.size(), other.size());
    for (const auto& [name, t] : pth) {
      const Tensor& u = other.at(name);
      EXPECT_EQ(t.dtype(), u.dtype()) << name;
      EXPECT_EQ(t.shape(), u.shape()) << name;
      EXPECT_EQ(std::memcmp(t.raw(), u.raw(), t.bytes()), 0) << name;
    }
  }
}

TEST(Pth, AStateDictOfAModuleKeepsParametersBuffersAndSharedStorage) {
  TensorFile f = open_tensors(root("pth/module.pth"));
  EXPECT_EQ(f.names(), (std::vector<std::string>{"weight", "tied", "halves", "part", "steps", "scalar", "none"}));
  EXPECT_EQ(f.at("weight").shape(), (Shape{3, 4}));
  EXPECT_EQ(f.at("weight").f32()[5], 5.f);
  EXPECT_EQ(f.at("tied").raw(), f.at("weight").raw());
  EXPECT_EQ(f.at("halves").dtype(), DType::f16);
  EXPECT_EQ(f.at("part").f32()[0], 4.f);
  EXPECT_EQ(f.at("steps").data<int64_t>()[1], int64_t{1} << 40);
  EXPECT_EQ(f.at("scalar").rank(), 0);
  EXPECT_EQ(f.at("none").count(), 0);
}

TEST(Pth, Zip64AndOpcodesOfEveryKindAreRead) {
  const std::string w = str("w") + tensor(four, 1, {1, 3}, {99, 1});
  EXPECT_EQ(of_pickle(dict(w)), "");
  EXPECT_EQ(message(zip({{"m/data.pkl", dict(w)}, {"m/data/0", floats({1, 2, 3, 4})}}, 0, 0, true)), "");
  EXPECT_EQ(of_pickle("\x80\x02}" + str("w") + tensor(four, 0, {2}, {1}) + "s."), "");
  EXPECT_EQ(of_pickle("\x80\x02" "ccollections\nOrderedDict\n)R(" + w + "u}(" + str("a") + "G12345678" + str("b") + "]Na" + str("c") + "](KAMBBe"
      + str("d") + "\x8a\x01\xff\x88\x86" "ub."), "");
}

TEST(Pth, NamesThatAreNotTensorsAreRefusedByName) {
  EXPECT_TRUE(has(of_pickle("\x80\x02" "cos\nsystem\n(" + str("true") + "tR."), "'os.system'; only tensors are read"));
  EXPECT_TRUE(has(of_pickle("\x80\x02" "ctorch\nload\n."), "'torch.load'"));
  EXPECT_TRUE(has(of_pickle("\x80\x02" "ctorch\nQInt8Storage\n."), "QInt8Storage"));
  EXPECT_TRUE(has(of_pickle(std::string("\x80\x02") + "i"), "opcode 105"));
  EXPECT_TRUE(has(of_pickle("\x80\x04N."), "protocol"));
  EXPECT_TRUE(has(of_pickle("\x80\x02" "ctorch\nFloatStorage\n)R."), "calls a class"));
  EXPECT_TRUE(has(of_pickle("\x80\x02N)R."), "calls None"));
  EXPECT_TRUE(has(of_pickle("\x80\x02N."), "wanted a dict of tensors, found None"));
  EXPECT_TRUE(has(of_pickle(dict(str("epoch") + number(3))), "'epoch': wanted a tensor, found an integer"));
  EXPECT_TRUE(has(of_pickle(dict(number(3) + tensor(four, 0, {4}, {1}))), "wanted the name of a tensor"));
  EXPECT_TRUE(has(of_pickle(dict(str("w") + tensor(four, 0, {4}, {1}) + str("w") + tensor(four, 0, {4}, {1}))), "'w' is there twice"));
}

TEST(Pth, LyingTensorsAndStoragesAreRefused) {
  auto one = [](const std::string& t) { return of_pickle(dict(str("w") + t)); };
  EXPECT_EQ(one(tensor(four, 0, {2, 2}, {2, 1})), "");
  EXPECT_TRUE(has(one(tensor(four, 0, {2, 2}, {1, 2})), "only adjacent elements"));
  EXPECT_TRUE(has(one(tensor(four, 0, {4, 4}, {0, 1})), "a storage of 4"));
  EXPECT_TRUE(has(one(tensor(four, 1, {4}, {1})), "a storage of 4"));
  EXPECT_TRUE(has(one(tensor(four, -1, {4}, {1})), "a storage of 4"));
  EXPECT_TRUE(has(one(tensor(four, 0, {-4}, {1})), "at least 0"));
  EXPECT_TRUE(has(one(tensor(four, 0, {1 << 30, 1 << 30, 4}, {1, 1, 1})), "overflows"));
  EXPECT_TRUE(has(one(tensor(four, 0, {1, 1, 1, 1, 1, 4}, {4, 4, 4, 4, 4, 1})), "at most 5"));
  EXPECT_TRUE(has(one(tensor(four, 0, {4}, {4, 1})), "strides"));
  EXPECT_TRUE(has(one(tensor(storage("FloatStorage", "0", 5), 0, {4}, {1})), "found 16 bytes"));
  EXPECT_TRUE(has(one(tensor(storage("FloatStorage", "0", -5), 0, {4}, {1})), "at least 0"));
  EXPECT_TRUE(has(one(tensor(storage("FloatStorage", "7", 4), 0, {4}, {1})), "no storage '7'"));
  EXPECT_TRUE(has(one(tensor("N", 0, {4}, {1})), "wanted a storage, found None"));
  EXPECT_TRUE(has(one("ctorch._utils\n_rebuild_tensor_v2\n)R"), "argument 0 is missing"));
}

TEST(Pth, BrokenPicklesAreRefused) {
  for (const char* pickle : {"", "u", "s", "R", "Q", "q", "qA", "hA", "jAAAA", "t", "\x85", "}s", "](NNu", "}(Nu", "}(NNe", "b", ".", "(.",
      "X\xff\xff\xff\x7f", "cabc", "c\n", "\x8a\xff"})
    EXPECT_NE(of_pickle("\x80\x02" + std::string(pickle) + "."), "") << pickle;
  EXPECT_NE(message(archive("\x80\x02" + std::string(3 << 20, '(') + ".")), "");
  EXPECT_TRUE(has(message(archive(std::string(5 << 20, 'N'))), "at most 4194304"));
  EXPECT_TRUE(has(message(archive("\x80\x02" + std::string(2 << 20, 'N') + ".")), "more than 1048576 values"));
}

TEST(Pth, OtherArchivesAreRefused) {
  const std::string w = dict(str("w") + tensor(four, 0, {4}, {1}));
  EXPECT_TRUE(has(message("PK\3\4 and no more, truly nothing"), "cut off"));
  EXPECT_TRUE(has(message(std::string("\x80\x02\x8a\x0a", 4)), "before 1.6"));
  EXPECT_TRUE(has(message(zip({{"m/data.pkl", w}}, 8)), "compressed"));
  EXPECT_TRUE(has(message(zip({{"m/data.pkl", w}}, 0, 1)), "encrypted"));
  EXPECT_TRUE(has(message(zip({{"m/readme", w}})), "no data.pkl"));
  EXPECT_TRUE(has(message(zip({{"m/data.pkl", w}, {"n/data.pkl", w}})), "one data.pkl"));
  EXPECT_TRUE(has(message(zip({{"m/data.pkl", w}, {"m/data/0", ""}, {"m/data/0", ""}})), "twice"));
  EXPECT_TRUE(has(message(zip({{"m/data.pkl", w}, {"m/byteorder", "big"}, {"m/data/0", ""}})), "byte order little"));
}

TEST(Pth, TruncatedAtAnyByteIsAnErrorAndAnyFlippedBitIsReadOrRefused) {
  for (bool zip64 : {false, true}) {
    const std::string s = zip({{"m/data.pkl", dict(str("w") + tensor(four, 0, {4}, {1}))}, {"m/data/0", floats({1, 2, 3, 4})}}, 0, 0, zip64);
    EXPECT_EQ(message(s), "");
    for (size_t n = 0; n < s.size(); ++n) EXPECT_NE(message(s.substr(0, n)), "") << n;
    for (size_t bit = 0; bit < s.size() * 8; ++bit) {
      std::string t = s;
      t[bit / 8] = static_cast<char>(t[bit / 8] ^ (1 << bit % 8));
      EXPECT_EQ(message(t).find('\n'), std::string::npos);
    }
  }
}

TEST(OpenTensors, TellsTheFormatByTheFirstBytes) {
  EXPECT_GT(open_tensors(root("gguf/llama.gguf")).size(), 5u);
  EXPECT_GT(open_tensors(root("models/llama_tied_sharded")).size(), 5u);
  EXPECT_GT(open_tensors(root("models/rwkv4_pth/model.pth")).size(), 5u);
  EXPECT_GT(open_tensors(root("models/llama/model.safetensors")).size(), 5u);
  EXPECT_THROW(open_tensors(root("models/llama/config.json")), Error);
  EXPECT_THROW(open_tensors(root("models")), Error);
  EXPECT_THROW(open_tensors(root("absent")), Error);
}

}  // namespace
}  // namespace headrace
