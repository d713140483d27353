// Operators of linear attention by feature maps, causal and as published for whole sequences.
#include "ops/feature_maps.h"
#include "ops/tape.h"
#include "ops/whole.h"
#include "run/op_call.h"

namespace headrace::op {
namespace {

Tensor causal(Call& c, const Tensor& q, const Tensor& k, const Tensor& v, float eps) {
  return normalised(c.over_time({q, k, with_ones(v)}, [](const std::vector<Tensor>& x, const Slot& slot) {
    return linear_scan({.q = x[0], .k = x[1], .v = x[2]}, slot);
  }), {}, eps);
}
Tensor whole(const Call& c, const Tensor& q, const Tensor& k, const Tensor& v, float eps) {
  return normalised(linear_whole(q, k, with_ones(v), Wholes(c).slot()), {}, eps);
}
void based(Call& c) { c.give("o", causal(c, taylor_features(c.timed("q")), taylor_features(c.timed("k")), c.timed("v"), 1e-6f)); }

void hedgehog(Call& c) {
  const auto map = [&](const char* x, const char* w) {
    const Tensor rows = c.timed(x);
    const int64_t N = rows.dim(0), H = rows.dim(1), K = rows.dim(2);
    const Tensor W = c.weight(w);
    return two_softmaxes(matmul(rows.view({N * H, K}), W, false, true).view({N, H, W.dim(0)}));
  };
  const Tensor q = map("q", "wq"), k = map("k", "wk");
  c.give("phi_q", q), c.give("phi_k", k);
  c.give("o", causal(c, q, k, c.timed("v"), 0));
}

void both(Call& c, const Tensor& q, const Tensor& k) {
  const Tensor v = c.timed("v");
  c.give("o", whole(c, q, k, v, 0));
  c.give("o_causal", causal(c, q, k, v, 0));
}
void performer_favor(Call& c) {
  const float eps = static_cast<float>(c.number("eps", 1e-4));
  const Tensor W = c.weight("proj");
  const RandomFeatures q = random_features(c.timed("q"), W), k = random_features(c.timed("k"), W);
  const int64_t N = c.B * c.T, H = k.projected.dim(1);
  Tensor most_q, most_k;
  {
    const PauseTape constants;
    most_q = largest_feature(q.projected);
    most_k = max_over_time(largest_feature(k.projected).view({N, H}), Wholes(c).slot()).view({N, H, 1});
  }
  const Tensor phi_q = favor(q.exponent, most_q, eps), phi_k = favor(k.exponent, most_k, eps);
  c.give("phi_q", phi_q), c.give("phi_k", phi_k);
  both(c, phi_q, phi_k);
}
void performer_relu(Call& c) {
  const Value* v = c.parameters.find("kernel");
  std::string kernel = "relu";
  expect(!v || (read_value(*v, kernel) && kernel == "relu"), "op performer_relu: parameter kernel: only \"relu\" is known");
  const float eps = static_cast<float>(c.number("kernel_epsilon", 1e-3));
  const Tensor W = c.weight("proj");
  both(c, relu_features(c.timed("q"), W, eps), relu_features(c.timed("k"), W, eps));
}

void efficient_attention(Call& c) {
  const Wholes all(c);
  const Tensor k = softmax_over_time(c.timed("k"), all.slot());
  const Tensor y = linear_whole(softmax(c.timed("q")), k, c.timed("v"), all.slot());
  c.give("o", 1 / std::sqrt(static_cast<float>(c.in.at("q").dim(3))) * y);
  c.give("paper", y);
}

void regla_core(Call& c) {
  const auto map = [](const Tensor& x) { return exp(x - largest_feature(x)); };
  c.check_gates("g"), c.check_gates("rg");
  const Tensor g = c.timed("g"), r = c.timed("rg");
  const Tensor gate = g * (2.f * r + (g - 2.f * (r * g)));  // (1-r) g^2 + r (1 - (1-g)^2)
  c.give("gate", gate);
  c.give("o", c.over_time({map(c.timed("q")), map(c.timed("k")), c.timed("v"), c.log_gates(gate)},
                          [](const std::vector<Tensor>& x, const Slot& slot) {
    return linear_scan({.q = x[0], .k = x[1], .v = x[2], .log_decay = x[3]}, slot);
  }));
  if (Tensor s = c.state()) c.out["final_state"] = s;
}

// Two gated passes: what each slot's key says to the query, then, by the softmax over slots, their values. The slots of the first are
// heads of one value each, since they decay apart.
void gsa(Call& c) {
  const Tensor q = c.timed("q"), k = c.timed("k"), s = c.timed("s"), g = c.timed("g");
  const int64_t N = q.dim(0), H = q.dim(1), M = s.dim(2);
  c.check_says("slots", M);
  const float scale = static_cast<float>(c.number("scale", 1 / std::sqrt(static_cast<double>(q.dim(2)))));
  const Tensor said = c.over_time({q, k, s.view({N, H * M, 1}), g.view({N, H * M})}, [=](const std::vector<Tensor>& x, const Slot& slot) {
    return linear_scan({.q = x[0], .k = x[1], .v = x[2], .log_decay = x[3], .scale = scale}, slot);
  });
  c.give("o", c.over_time({softmax(said.view({N, H, M})), s, c.timed("v"), g}, [](const std::vector<Tensor>& x, const Slot& slot) {
    return linear_scan({.q = x[0], .k = x[1], .v = x[2], .log_decay = x[3]}, slot);
  }));
}

constexpr const char* both_out = "o [B,T,H,V]; o_causal [B,T,H,V]";
const Entry table[] = {
    {{"based", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]", "", "o [B,T,H,V]",
      "sum of a v / (sum of a + 1e-6) over j <= i, a = 1 + s + s^2/2, s = q.k K^-1/2"}, based},
    {{"hedgehog", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; wq [F,K]; wk [F,K]", "", "o [B,T,H,V]; phi_q [B,T,H,2F]; phi_k [B,T,H,2F]",
      "phi(x) = [softmax(W x); softmax(-W x)], o = phi(q) sum phi(k) v^T / (phi(q) sum phi(k)) over j <= i"}, hedgehog},
    {{"performer_favor", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; proj [M,K]", "eps = 1e-4",
      "o [B,T,H,V]; o_causal [B,T,H,V]; phi_q [B,T,H,M]; phi_k [B,T,H,M]",
      "phi(x) = M^-1/2 (exp(W x' - |x'|^2/2 - largest) + eps), x' = K^-1/4 x; largest over features, of keys over positions too"}, performer_favor},
    {{"performer_relu", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; proj [M,K]", "kernel_epsilon = 1e-3", both_out,
      "phi(x) = relu(K^-1/4 W x) + kernel_epsilon"}, performer_relu},
    {{"efficient_attention", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]", "", "o [B,T,H,V]; paper [B,T,H,V]",
      "softmax over K of q times (softmax over T of k)^T v; o times K^-1/2"}, efficient_attention},
    {{"regla_core", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; g [B,T,H,K]; rg [B,T,H,K]", "",
      "o [B,T,H,V]; final_state [B,H,K,V]; gate [B,T,H,K]",
      "S = diag(gate) S + phi(k) v^T, o = phi(q) S, phi(x) = exp(x - max x), gate = (1-rg) g^2 + rg (1 - (1-g)^2)"}, regla_core},
    {{"gsa", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; g [B,T,H,M]; s [B,T,H,M]", "scale = K^-1/2", "o [B,T,H,V]",
      "A = A diag(exp(g)) + k s^T, p = softmax(scale q A); S = diag(exp(g)) S + s v^T, o = p S"}, gsa},
};

}  // namespace

std::span<const Entry> feature_map_entries() { return table; }

}  // namespace headrace::op
