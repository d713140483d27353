// The frame of linear attentions that are weighted means (equations: feature_attention.h): the denominator is one more column of
// the values, all ones, so numerator and denominator come from one scan.
#include "mixers/feature_attention.h"

#include "base/error.h"
#include "ops/feature_maps.h"
#include "ops/running_max.h"
#include "ops/sequence.h"
#include "ops/whole.h"

namespace headrace {

void FeatureAttention::Options::check(const char* name) const {
  expect(int64_t{heads} * std::max(key, value) <= 1 << 24, name, ": heads = ", heads, " of key = ", key, ", value = ", value);
}

FeatureAttention FeatureAttention::bind(const Scope& s, Options o, Map map) {
  o.rope.rotary = o.rope.base > 0 ? o.key / 2 * 2 : 0;
  fill_frequencies(o.rope);
  const int64_t D = o.width, HK = int64_t{o.heads} * o.key, HV = int64_t{o.heads} * o.value;
  const Init all = Init::fan_in();
  return {.o = o, .q = Linear::bind(s / "q_proj", D, HK, o.bias, all), .k = Linear::bind(s / "k_proj", D, HK, o.bias, all),
          .v = Linear::bind(s / "v_proj", D, HV, o.bias, all), .out = Linear::bind(s / "o_proj", HV, D, false, all), .map = std::move(map)};
}

Tensor FeatureAttention::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads;
  const auto qkv = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  const Shape keys{N, H, o.key};
  const Features f = map(headrace::rope(qkv[0].view(keys), o.rope, p.positions()), headrace::rope(qkv[1].view(keys), o.rope, p.positions()), p);
  const Tensor values = with_ones(qkv[2].view({N, H, o.value}));
  const Slot slot = p.slot("scan");
  const Tensor y = o.causal ? linear_scan({.q = f.q, .k = f.k, .v = values, .log_decay = f.log_decay}, slot) : linear_whole(f.q, f.k, values, slot);
  return out(normalised(y, {}, o.eps).view({N, H * o.value}));
}

KeyRange range_of_keys(const Tensor& exponent, bool causal, Pass p) {
  const int64_t N = exponent.dim(0), H = exponent.dim(1);
  const Tensor largest = largest_feature(exponent).view({N, H});
  if (!causal) return {max_over_time(largest, p.slot("largest")).view({N, H, 1}), {}};
  const RunningMax r = running_max(largest, p.positions(), p.slot("largest"));
  return {r.m.view({N, H, 1}), r.fell};
}

}  // namespace headrace
