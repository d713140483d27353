// safetensors as a hostile file, the rules of the format one by one, and sharded folders.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "error_of.h"
#include "io/safetensors.h"

namespace headrace {
namespace {

std::span<const std::byte> bytes_of_string(const std::string& s) { return std::as_bytes(std::span(s.data(), s.size())); }
std::string scratch(const std::string& name) { return testing::TempDir() + "headrace_st_" + std::to_string(getpid()) + "_" + name; }
std::string with_header(const std::string& header, const std::string& data = "") {
  std::string s(8, '\0');
  const uint64_t n = header.size();
  std::memcpy(s.data(), &n, 8);
  return s + header + data;
}
std::string message(const std::string& file) {
  return error_of([&] { SafetensorsFile f(bytes_of_string(file), "f"); });
}
std::string small_file() {
  const std::string path = scratch("small.safetensors");
  std::vector<NamedTensor> all = {{"b", Tensor::from({1.f, 2.f, 3.f})}, {"a", Tensor::from(std::vector<int64_t>{7, -8}, {2, 1})},
      {"none", Tensor::empty({0, 4})}};
  write_safetensors(path, all, {{"format", "pt"}});
  std::string s = read_text(path);
  std::remove(path.c_str());
  return s;
}

TEST(Safetensors, RoundTripKeepsNamesShapesValuesAndMetadata) {
  const std::string path = scratch("round.safetensors");
  std::vector<NamedTensor> all = {{"x.y", Tensor::from({1.f, -2.f, 3.f, 4.f}).view({2, 2})}, {"none", Tensor::empty({0, 4})},
                                  {"scalar", Tensor::from(std::vector<int64_t>{42}, {})}, {"quo\"te\n", Tensor::zeros({3}, DType::bf16)}};
  write_safetensors(path, all, {{"a", "b"}, {"c", "\"d\""}});
  SafetensorsFile f(path);
  EXPECT_EQ(f.tensors().size(), 4u);
  EXPECT_EQ(f.metadata().at("c"), "\"d\"");
  EXPECT_EQ(f.tensor("x.y").shape(), (Shape{2, 2}));
  EXPECT_EQ(f.tensor("x.y").f32()[1], -2.f);
  EXPECT_EQ(f.tensor("scalar").rank(), 0);
  EXPECT_EQ(*f.tensor("scalar").data<int64_t>(), 42);
  EXPECT_EQ(f.tensor("none").count(), 0);
  EXPECT_EQ(f.tensor("quo\"te\n").dtype(), DType::bf16);
  EXPECT_THROW(f.tensor("absent"), Error);
  std::remove(path.c_str());
}

TEST(Safetensors, NamesAndMetadataThatAreNoTextAreRefusedByName) {
  const std::string path = scratch("broken.safetensors");
  const std::vector<NamedTensor> good{{"a", Tensor::zeros({1})}}, bad{{"a\xff", Tensor::zeros({1})}};
  auto refused = [&](std::span<const NamedTensor> tensors, const SafetensorsFile::Metadata& metadata) {
    return error_of([&] { write_safetensors(path, tensors, metadata); });
  };
  EXPECT_EQ(refused(good, {{"k", "v\xe9"}}), path + ": wanted UTF-8 in names and metadata, found v\xe9");
  EXPECT_EQ(refused(bad, {}), path + ": wanted UTF-8 in names and metadata, found a\xff");
  EXPECT_FALSE(file_exists(path));
}

TEST(Safetensors, TheSameTensorsInAnyOrderGiveTheSameBytes) {
  const std::string one = scratch("1"), two = scratch("2");
  NamedTensor a = {"a", Tensor::from({1.f})}, b = {"b", Tensor::zeros({2}, DType::f64)};
  write_safetensors(one, std::vector<NamedTensor>{a, b});
  write_safetensors(two, std::vector<NamedTensor>{b, a});
  EXPECT_EQ(read_text(one), read_text(two));
  std::remove(one.c_str());
  std::remove(two.c_str());
}

TEST(Safetensors, TruncatedAtAnyByteIsAnError) {
  const std::string s = small_file();
  EXPECT_EQ(message(s), "");
  for (size_t n = 0; n < s.size(); ++n) EXPECT_NE(message(s.substr(0, n)), "") << n;
  EXPECT_NE(message(s + "x"), "");
}

TEST(Safetensors, AnyFlippedBitIsReadOrRefusedButNeverCrashes) {
  const std::string s = small_file();
  for (size_t bit = 0; bit < s.size() * 8; ++bit) {
    std::string t = s;
    t[bit / 8] = static_cast<char>(t[bit / 8] ^ (1 << bit % 8));
    std::string m = message(t);
    EXPECT_EQ(m.find('\n'), std::string::npos) << m;
  }
}

TEST(Safetensors, LyingHeadersAreRefusedByName) {
  auto entry = [](const std::string& body) { return with_header("{\"w\":{" + body + "}}", std::string(16, 'x')); };
  EXPECT_EQ(message(entry(R"("dtype":"F32","shape":[4],"data_offsets":[0,16])")), "");
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[5],"data_offsets":[0,16])")).find("'w'"), std::string::npos);
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[4],"data_offsets":[0,17])")), "");
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[4],"data_offsets":[4,20])")), "");
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[4],"data_offsets":[16,0])")), "");
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[-4],"data_offsets":[0,16])")), "");
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[4],"data_offsets":[0])")), "");
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[4])")).find("data_offsets"), std::string::npos);
  EXPECT_NE(message(entry(R"("dtype":"F8_E4M3","shape":[16],"data_offsets":[0,16])")).find("F8_E4M3"), std::string::npos);
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16])")).find("overflow"), std::string::npos);
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0])")), "");
  EXPECT_NE(message(entry(R"("dtype":"F32","shape":[1,1,1,1,1,4],"data_offsets":[0,16])")), "");
  EXPECT_NE(message(entry(R"("dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16])")).find("twice"), std::string::npos);
  EXPECT_NE(message(with_header(R"({"__metadata__":{"a":1}})")), "");
  EXPECT_NE(message(with_header("[]")), "");
  EXPECT_NE(message(with_header("{} x")), "");
}

TEST(Safetensors, DuplicatedNamesOverlapsAndHolesAreRefused) {
  const std::string a = R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})", b = R"({"dtype":"U8","shape":[2],"data_offsets":[2,4]})";
  EXPECT_EQ(message(with_header("{\"a\":" + a + ",\"b\":" + b + "}", "wxyz")), "");
  EXPECT_NE(message(with_header("{\"a\":" + a + ",\"a\":" + b + "}", "wxyz")).find("twice"), std::string::npos);
  EXPECT_NE(message(with_header("{\"a\":" + a + ",\"b\":" + a + "}", "wx")).find("overlap"), std::string::npos);
  EXPECT_NE(message(with_header("{\"b\":" + b + "}", "wxyz")).find("hole"), std::string::npos);
}

TEST(Safetensors, AHeaderLargerThanTheFileIsRefusedBeforeAnythingIsAllocated) {
  std::string s(8, '\xff');
  EXPECT_NE(message(s + "{}").find("header length"), std::string::npos);
  std::string deep = with_header("{\"a\":" + std::string(1 << 20, '['));
  EXPECT_NE(message(deep), "");
}

TEST(Safetensors, DataThatIsNotAlignedForItsTypeIsCopied) {
  SafetensorsFile f(bytes_of_string(with_header(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} )", std::string("\0\0\x80\x3f", 4))),
      "f", std::make_shared<int>(1));
  EXPECT_EQ(f.tensor("w").f32()[0], 1.f);
}

TEST(Safetensors, AnIndexJoinsItsShardsAndNamesWhatIsMissing) {
  const std::string folder = scratch("sharded");
  std::filesystem::create_directory(folder);
  write_safetensors(folder + "/m-1.safetensors", std::vector<NamedTensor>{{"a", Tensor::from({1.f})}});
  write_safetensors(folder + "/m-2.safetensors", std::vector<NamedTensor>{{"b", Tensor::from({2.f})}});
  auto index = [&](const std::string& map) {
    write_atomic(folder + "/model.safetensors.index.json", [&](const Sink& s) {
      const std::string j = "{\"metadata\":{},\"weight_map\":" + map + "}";
      s(j.data(), j.size());
    });
  };
  index(R"({"a":"m-1.safetensors","b":"m-2.safetensors"})");
  TensorFile all = read_safetensors_folder(folder);
  EXPECT_EQ(all.at("a").f32()[0], 1.f);
  EXPECT_EQ(all.at("b").f32()[0], 2.f);
  index(R"({"a":"m-1.safetensors","c":"m-2.safetensors"})");
  EXPECT_THROW(read_safetensors_folder(folder), Error);
  index(R"({"a":"../m-1.safetensors"})");
  EXPECT_THROW(read_safetensors_folder(folder), Error);
  index("3");
  EXPECT_THROW(read_safetensors_folder(folder), Error);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace headrace
