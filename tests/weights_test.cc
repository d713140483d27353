// Weights of attention and of linear scans are those that their answers are made of; slopes and windows are in them.
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "ops/sequence.h"
#include "ops/weights.h"
#include "probe/network.h"
#include "probe/runner.h"

namespace headrace {
namespace {

const std::vector<int64_t> offsets{0, 5, 6, 13};
Tensor normals(const Shape& shape, uint64_t stream) {
  const Philox random{7, stream};
  std::vector<float> v(static_cast<size_t>(shape.count()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(random.block(i)[0]) * 0x1p-31f - 1;
  return Tensor::from(v, shape);
}
// y is w v, by head; v's heads are shared by y's.
void expect_made_of(const Tensor& y, const Tensor& w, const Tensor& v) {
  const int64_t H = y.dim(1), V = y.dim(2), T = w.dim(2), shared = H / v.dim(1);
  for (size_t s = 0; s + 1 < offsets.size(); ++s)
    for (int64_t i = offsets[s]; i < offsets[s + 1]; ++i)
      for (int64_t h = 0; h < H; ++h)
        for (int64_t d = 0; d < V; ++d) {
          double sum = 0;
          for (int64_t j = offsets[s]; j < offsets[s + 1]; ++j)
            sum += double{w.f32()[(i * H + h) * T + j - offsets[s]]} * v.f32()[(j * v.dim(1) + h / shared) * V + d];
          ASSERT_NEAR(y.f32()[(i * H + h) * V + d], sum, 1e-5) << i << ' ' << h;
        }
}

TEST(Weights, AnswersAreMadeOfThem) {
  const int64_t N = offsets.back();
  const Tensor q = normals({N, 4, 6}, 1), k = normals({N, 2, 6}, 2), v = normals({N, 2, 3}, 3), beta = normals({N, 2}, 4);
  const Slot slot{.sequences = {offsets}, .values = {}};
  std::vector<Tensor> seen;
  const WatchWeights watch([&](const Tensor& w, const Sequences& s) {
    seen.push_back(w);
    EXPECT_EQ(s.tokens(), N);
  });
  const Tensor ys[] = {attention(q, k, v, {.window = 3, .sinks = {}, .slopes = {}}, slot),
                       linear_scan({.q = q, .k = k, .v = v, .log_decay = -0.1f * unary(Unary::relu, normals({N, 4}, 6))}, slot),
                       linear_scan({.q = normals({N, 2, 6}, 5), .k = k, .v = v, .beta = beta}, slot)};
  ASSERT_EQ(seen.size(), 3u);
  for (size_t i = 0; i < 3; ++i) expect_made_of(ys[i], seen[i], v);
}

TEST(Weights, AlibiTakesFromScoresByTheDistance) {
  const Task task = open_task("markov", std::vector<std::string>{"L=12"});
  const ProbeBatch batch = draw_batch(task, 1, Split::train, 0, 1);
  Tensor w[2];
  for (const bool on : {false, true}) {
    const Network net(task, on ? "d=16 attn(heads=4, rope=0, alibi=on)" : "d=16 attn(heads=4, rope=0)", 3);
    const WatchWeights watch([&](const Tensor& x, const Sequences&) { w[on] = x; });
    net.answers(batch, net.asked(batch));
  }
  const int64_t T = batch.tokens();
  for (int64_t h = 0; h < 4; ++h)
    for (int64_t i = 0; i < T; ++i) {
      const auto ratio = [&](int64_t j) { return std::log(w[1].f32()[(i * 4 + h) * T + j] / w[0].f32()[(i * 4 + h) * T + j]); };
      const double slope = std::exp2(-2.0 * static_cast<double>(h + 1));
      for (int64_t j = 0; j < i; ++j) ASSERT_NEAR(ratio(i) - ratio(j), slope * static_cast<double>(i - j), 1e-4) << h << ' ' << i << ' ' << j;
    }
}

TEST(Weights, CellsTellWhatShareIsNear) {
  Cell c;
  c.task = "markov", c.set = {"L=16"}, c.steps = 1, c.batch = 4, c.samples = 4, c.tests = {{}};
  c.blueprint = "d=16 attn(heads=2, window=4)";
  EXPECT_NEAR(*run_cell(c).at("near").get<double>(), 1, 1e-6);
  c.blueprint = "d=16 linear_attn(heads=2, key=4, value=8, conv=0)";
  const double near = *run_cell(c).at("near").get<double>();
  EXPECT_TRUE(near > 0.2 && near < 0.9) << near;
  c.blueprint = "d=16 gru";
  EXPECT_FALSE(run_cell(c).contains("near"));
}

}  // namespace
}  // namespace headrace
