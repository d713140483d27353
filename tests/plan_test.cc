// A plan of a long context follows from short ones: it is that of a walk through all of it.
#include "run/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "run/load.h"

namespace headrace {
namespace {

void expect_same(const Plan& a, const Plan& b, const std::string& what) {
  EXPECT_EQ(a.state, b.state) << what;
  EXPECT_EQ(a.state_fixed, b.state_fixed) << what;
  EXPECT_EQ(a.activations, b.activations) << what;
  EXPECT_EQ(a.state_per_token, b.state_per_token) << what;
  EXPECT_NEAR(a.prefill_flops / b.prefill_flops, 1, 1e-12) << what;
  EXPECT_EQ(a.decode_flops, b.decode_flops) << what;
  ASSERT_EQ(a.slots.size(), b.slots.size()) << what;
  for (size_t i = 0; i < a.slots.size(); ++i) {
    EXPECT_EQ(a.slots[i].shape, b.slots[i].shape) << what << " slot " << i;
    EXPECT_EQ(a.slots[i].bytes, b.slots[i].bytes) << what << " slot " << i;
  }
}

TEST(PlanOfALongContext, IsThatOfAWalkThroughAllOfIt) {
  for (const char* stack : {"attn(heads=2)", "attn(heads=2, window=100), mamba(state=4), attn(heads=2)", "log_linear_mamba2(levels=20)",
                            "hyena(length=300, filter=4)", "attn(heads=2, window=5000)"}) {
    const Loaded m = open_blueprint(std::string("d=8 vocab=16 ") + stack, {.device = Device::meta});
    for (const int64_t chunk : {512, 100})
      for (const int64_t context : {131072, 100003}) {
        int told = 0;
        const Plan quick = plan_memory(m, context, {.chunk = chunk, .progress = [&](double) { ++told; }});
        const std::string what = stack + std::string(", ") + std::to_string(context) + " in chunks of " + std::to_string(chunk);
        expect_same(quick, plan_memory(m, context, {.chunk = chunk, .in_full = true}), what);
        if (std::string(stack) == "attn(heads=2)") { EXPECT_EQ(told, 0) << what << ": walked in full"; }
      }
  }
}

TEST(PlanOfALongContext, TakesNoTimeByItsLength) {
  const Loaded m = open_model(HEADRACE_ROOT "/assets/stories260K", {.device = Device::meta});
  bool walked = false;
  const Plan p = plan_memory(m, int64_t{1} << 26, {.progress = [&](double) { walked = true; }});
  EXPECT_FALSE(walked);
  EXPECT_EQ(p.state, (size_t{1} << 26) * 1280);
  EXPECT_EQ(p.state_per_token, 1280);
}

TEST(Plan, OfATokenIsOfWholePages) {
  const Loaded m = open_model(HEADRACE_ROOT "/assets/stories260K", {.device = Device::meta});
  for (const int64_t context : {1, 8, 64, 65, 300}) EXPECT_EQ(plan_memory(m, context).state_per_token, 1280) << context;
}

TEST(Plan, EachThreadHasAStackAndScratch) {
  const Loaded m = open_model(HEADRACE_ROOT "/assets/stories260K", {.device = Device::meta});
  plan_memory(m, 64, {.threads = 2});              // what it makes resident itself is there after it
  std::vector<double> each;                        // what is resident moves a little between two readings
  for (int i = 0; i < 5; ++i) {
    const Plan two = plan_memory(m, 64, {.threads = 2}), many = plan_memory(m, 64, {.threads = 32});
    each.push_back(static_cast<double>(many.program - two.program) / (30 << 10));
  }
  std::sort(each.begin(), each.end());
  EXPECT_NEAR(each[2], 32, 10);
}

}  // namespace
}  // namespace headrace
