// JSON as plain values.
#include <gtest/gtest.h>

#include "nn/value.h"

namespace headrace {
namespace {

TEST(Value, AWholeNumberBeyond64BitsIsARealOneAndNeverNegative) {
  EXPECT_EQ(*parse_json("9223372036854775807", "f").get<int64_t>(), INT64_MAX);
  EXPECT_EQ(*parse_json("-9223372036854775808", "f").get<int64_t>(), INT64_MIN);
  for (const char* large : {"9223372036854775808", "18446744073709551615", "18446744073709551616"}) {
    const Value v = parse_json(large, "f");
    ASSERT_TRUE(v.get<double>()) << large;
    EXPECT_GE(*v.get<double>(), 9.2e18) << large;
  }
}

}  // namespace
}  // namespace headrace
