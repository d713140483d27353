// Mixers of the family of attention that are the same function in two ways, or another mixer at one of their options.
#include <gtest/gtest.h>

#include "laws.h"
#include "mixers/attention.h"
#include "mixers/catalogue.h"
#include "mixers/entmax_attention.h"
#include "mixers/mla.h"
#include "mixers/sparse_transformer.h"
#include "nn/init.h"
#include "nn/state.h"

namespace headrace {
namespace {

Tensor run_mixer(const char* name, std::vector<Setting> settings, const Tensor& x) {
  Sublayer layer = find_mixer(name)->bind(Scope(initialised({.seed = 3})), {.width = 48}, settings);
  Batch batch;
  batch.add(x.dim(0));
  return layer(x, Pass{.batch = &batch});
}
Setting setting(const char* name, const char* value) {
  Setting s;
  s.name = name, s.value = value;
  return s;
}

TEST(Mla, AbsorbedGivesWhatNaiveGives) {
  Random r(1);
  Tensor x = map(r.whole({70, 48}), [](float v) { return 5 * v; });
  for (const char* q_latent : {"0", "20"}) {
    Tensor naive = run_mixer("mla", {setting("absorbed", "off"), setting("q_latent", q_latent), setting("value", "20")}, x);
    EXPECT_TRUE(close(run_mixer("mla", {setting("q_latent", q_latent), setting("value", "20")}, x), naive, 2e-5));
  }
}
TEST(SparseTransformer, WithAStrideOfAllIsCausalAttention) {
  Random r(2);
  Tensor x = map(r.whole({70, 48}), [](float v) { return 5 * v; });
  Tensor merged = run_mixer("sparse_transformer", {setting("stride", "70")}, x);
  EXPECT_TRUE(close(run_mixer("sparse_transformer", {setting("stride", "70"), setting("pattern", "fixed")}, x), merged, 2e-5));
  EXPECT_FALSE(close(run_mixer("sparse_transformer", {setting("stride", "7"), setting("summary", "2")}, x), merged, 1e-3));
}

}  // namespace
}  // namespace headrace
