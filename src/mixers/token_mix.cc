// Token shift with all its mixes as one matrix, so that one kernel makes them; how RWKV's vectors begin (papers: rwkv4.h to rwkv7.h).
#include "mixers/token_mix.h"
#include "ops/sequence.h"

#include <algorithm>
#include <cmath>

namespace headrace {

TokenMix TokenMix::bind(const Scope& s, std::initializer_list<Row> rows, int width, bool of_current) {
  std::vector<Tensor> parts;
  for (const Row& r : rows) parts.push_back(s(r.name, {width}, r.init));
  for (Tensor& t : parts)                              // where one is missing, an error comes at the end
    if (t.device() != parts[0].device()) t = Tensor::empty({width}, DType::f32, parts[0].device());
  return {concat(parts).view({static_cast<int64_t>(rows.size()), width}), of_current};
}

Init RwkvDepth::power(double exponent, double plus) const {
  return Init::by_element([=, D = width](int64_t i) { return std::pow(static_cast<double>(i) / D, exponent) + plus; });
}
Init RwkvDepth::rest(double exponent, double plus) const {
  return power(exponent, plus).map("1 -", [](double x) { return 1 - x; });
}
Init RwkvDepth::decay(double first, double range, int64_t channels) const {
  const double exponent = 0.7 + 1.3 * deep(), last = static_cast<double>(std::max<int64_t>(1, channels - 1));
  Init i = Init::by_element([=](int64_t c) { return first + range * std::pow(static_cast<double>(c) / last, exponent); });
  return i.no_decay();
}
Init RwkvDepth::bonus(int64_t channels) const {
  Init i = Init::by_element([=, deep = deep()](int64_t c) {
    return deep * (1 - static_cast<double>(c) / static_cast<double>(std::max<int64_t>(1, channels - 1))) + 0.1 * static_cast<double>((c + 1) % 3 - 1);
  });
  return i.no_decay();
}
Norm RwkvDepth::head_norm(const Scope& s, int64_t channels, float eps, int heads) const {
  const Init size = Init::constant(std::pow((1.0 + layer) / layers, 0.7));
  return {.kind = NormKind::layer, .weight = s("weight", {channels}, size), .bias = s("bias", {channels}), .eps = eps, .groups = heads};
}

Tensor TokenMix::operator()(const Tensor& x, const Slot& slot) const {
  Tensor before = token_shift(x, slot);
  return of_current ? mix(before, x, mu) : mix(x, before, mu);
}

}  // namespace headrace
