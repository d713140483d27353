// HGRN (Qin et al. 2023, 2311.04823; equations: hgrn.h). The bound of a layer is its share of a softmax over all layers, made when
// the layer is bound; the gate stays in logs: log(c + (1 - c) sigmoid(f)) = softplus(log c - f) - softplus(-f).
#include "mixers/hgrn.h"

#include "ops/sequence.h"

namespace headrace {

const MixerDoc Hgrn::doc{
    "hgrn", "recurrence", "HGRN, hierarchically gated recurrent network", "Qin et al. 2023 (2311.04823)",
    "w = c + (1 - c) sigmoid(W_f x)                         c grows with depth\nh_t = w h_{t-1} + (1 - w) silu(W_i x)\n"
    "y = W_o (norm(h) silu(W_g x))",
    "W_i, W_f, W_g, W_o [d, d], norm [d]; lower bounds of all layers", "d", "O(d^2)", "O(T d^2)", "mixers/hgrn.h"};

Hgrn Hgrn::bind(const Scope& s, const Options& o) {
  const int D = o.width;
  Hgrn m{.o = o,
         .i = Linear::bind(s / "i_proj", D, D),
         .f = Linear::bind(s / "f_proj", D, D),
         .g = Linear::bind(s / "g_proj", D, D),
         .out = Linear::bind(s / "o_proj", D, D),
         .norm = Norm::rms(s / "g_norm", D, o.norm_eps)};
  if (!o.lower_bound) return m;
  const Tensor share = exp((s.root() / "hgrn")("lower_bounds", {o.of, D}, Init::zeros()));
  if (o.nth == 0) return m;                                // the first layer is free; the bounds are declared all the same
  const Tensor total = reciprocal(sum_rows(share));
  const Tensor first = sum_rows(share.slice(0, 0, 1)), bound = sum_rows(share.slice(0, 1, o.nth));
  const Tensor above = o.nth + 1 < o.of ? first + sum_rows(share.slice(0, o.nth + 1, o.of - o.nth - 1)) : first;
  m.log_bound = log(bound * total), m.free = above * total;
  return m;
}

Tensor Hgrn::operator()(const Tensor& x, Pass p) const {
  auto ifg = linear(x, {{i.weight, {}}, {f.weight, {}}, {g.weight, {}}});
  const Tensor forget = unary(Unary::negate, ifg[1]), rest = softplus(forget);          // -log sigmoid(f)
  Tensor admitted = sigmoid(forget), log_w = unary(Unary::negate, rest);
  if (log_bound) admitted = admitted * free, log_w = softplus(forget + log_bound) - rest;
  Tensor h = diag_scan(log_w, binary(Binary::silu_multiply, ifg[0], admitted), p.slot("hgrn"));
  return out(binary(Binary::silu_multiply, ifg[2], norm(h)));
}

}  // namespace headrace
