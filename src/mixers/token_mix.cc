#include "mixers/token_mix.h"
#include "ops/sequence.h"

namespace headrace {

TokenMix TokenMix::bind(const Scope& s, std::initializer_list<const char*> names, int width, bool of_current) {
  std::vector<Tensor> rows;
  bool there = true;
  for (const char* n : names) {
    rows.push_back(s(n, {width}));
    there = there && rows.back().device() != Device::meta;
  }
  Tensor mu = Tensor::empty({static_cast<int64_t>(rows.size()), width}, DType::f32, there ? rows[0].device() : Device::meta);
  for (size_t i = 0; there && i < rows.size(); ++i)
    copy_bytes(mu[static_cast<int64_t>(i)].raw(), mu.device(), rows[i].raw(), mu.device(), rows[i].bytes());
  return {mu, of_current};
}

Tensor TokenMix::operator()(const Tensor& x, const Slot& slot) const {
  Tensor before = token_shift(x, slot);
  return of_current ? mix(before, x, mu) : mix(x, before, mu);
}

}  // namespace headrace
