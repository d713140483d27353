// Operators with a matrix as state: linear attention, q, k, v and how the state forgets.
#include <algorithm>

#include "run/op_call.h"

namespace headrace::op {
namespace {

// f of every number, on the CPU: what definitions do to inputs before the primitive.
template <class F>
Tensor each(const Tensor& x, F f) {
  Tensor y = x.contiguous_copy();
  for (int64_t i = 0; i < y.count(); ++i) y.f32()[i] = static_cast<float>(f(double{y.f32()[i]}));
  return y;
}
Tensor last_two_swapped(const Tensor& x) {               // [...,P,N] -> [...,N,P]
  Shape s = x.shape();
  std::swap(s[-1], s[-2]);
  Tensor y = Tensor::empty(s);
  const int64_t P = x.dim(-2), N = x.dim(-1);
  for (int64_t b = 0; b < x.count() / std::max<int64_t>(P * N, 1); ++b)
    for (int64_t p = 0; p < P; ++p)
      for (int64_t n = 0; n < N; ++n) y.f32()[(b * N + n) * P + p] = x.f32()[(b * P + p) * N + n];
  return y;
}

struct Policy {
  Tensor log_decay = {}, a = {}, b = {}, beta = {};      // [B*T,...]
  Tensor constant_decay = {}, bonus = {};                // [H] or [1,H,K]; [H,K]
};
void scan(Call& c, const Tensor& q, const Tensor& k, const Tensor& v, const Policy& p, double default_scale, const Tensor& first,
    bool report = true) {
  const float scale = static_cast<float>(c.number("scale", default_scale));
  std::vector<Tensor> x{q, k, v};
  for (const Tensor* t : {&p.log_decay, &p.a, &p.b, &p.beta})
    if (*t) x.push_back(*t);
  Tensor y = c.over_time(x, [&](const std::vector<Tensor>& x, const Slot& slot) {
    LinearScan s{.q = x[0], .k = x[1], .v = x[2], .log_decay = p.constant_decay, .bonus = p.bonus, .scale = scale};
    size_t i = 3;
    if (p.log_decay) s.log_decay = x[i++];
    if (p.a) s.a = x[i++], s.b = x[i++];
    if (p.beta) s.beta = x[i++];
    return linear_scan(s, slot);
  }, first);
  c.give("o", y);
  if (Tensor s = c.state(); s && report) c.out["final_state"] = s;
}
double root_of_key(const Call& c, const char* q = "q") { return 1 / std::sqrt(static_cast<double>(c.in.at(q).dim(-1))); }
void qkv(Call& c, const Policy& p, double scale) { scan(c, c.timed("q"), c.timed("k"), c.timed("v"), p, scale, c.first_state()); }

void linear_attn(Call& c) {
  const Value* n = c.parameters.find("normalize");
  bool normalise = false;
  expect(!n || (read_value(*n, normalise) && !normalise), "op linear_attn: parameter normalize: only false is known");
  qkv(c, {}, root_of_key(c));
}
void simple_gla(Call& c) { qkv(c, {.log_decay = c.timed("g")}, root_of_key(c)); }
void gla(Call& c) { qkv(c, {.log_decay = c.timed("gk")}, root_of_key(c)); }
void delta_rule(Call& c) { qkv(c, {.beta = c.timed("beta")}, root_of_key(c)); }
void gated_delta_rule(Call& c) { qkv(c, {.log_decay = c.timed("g"), .beta = c.timed("beta")}, root_of_key(c)); }
void rwkv6(Call& c) { qkv(c, {.log_decay = c.timed("w"), .bonus = c.weight("u")}, 1); }
void rwkv5(Call& c) {
  Tensor w = c.raw("w");
  qkv(c, {.constant_decay = copy_to(w.view({1, w.dim(0), w.dim(1)}), c.device), .bonus = c.weight("u")}, 1);
}
void rwkv7(Call& c) {
  scan(c, c.timed("r"), c.timed("k"), c.timed("v"), {.log_decay = c.timed("w"), .a = c.timed("a"), .b = c.timed("b")}, 1, c.first_state());
}
void retention(Call& c) {
  Tensor g = Tensor::empty({c.in.at("q").dim(-2)});
  for (int64_t h = 0; h < g.count(); ++h) g.f32()[h] = static_cast<float>(std::log1p(-std::exp2(-5.0 - static_cast<double>(h))));
  scan(c, c.timed("q"), c.timed("k"), c.timed("v"), {.constant_decay = copy_to(g, c.device)}, root_of_key(c), {}, false);
}
void lightning_attention(Call& c) {
  const int64_t H = c.in.at("q").dim(-2);
  std::vector<float> slopes;
  for (int64_t h = 0; h < H; ++h) slopes.push_back(static_cast<float>(std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(H))));
  if (const Value* v = c.parameters.find("slopes"))
    expect(read_value(*v, slopes) && static_cast<int64_t>(slopes.size()) == H, "op lightning_attention: parameter slopes: wanted ", H, " numbers");
  for (float& s : slopes) s = -s;
  qkv(c, {.constant_decay = copy_to(Tensor::from(slopes, {H}), c.device)}, 1);
}
void hgrn2(Call& c) {
  Tensor f = c.raw("f");
  scan(c, c.timed("q"), c.flat(each(f, [](double x) { return 1 - x; })), c.timed("v"),
      {.log_decay = c.flat(each(f, [](double x) { return std::log(x); }))},
       1, c.first_state());
}
// The normaliser is one more column of values, all 1.
void linear_transformer_elu(Call& c) {
  auto phi = [](double x) { return x > 0 ? x + 1 : std::exp(x); };
  const double eps = c.number("eps", 1e-6);
  Tensor v = c.raw("v"), ones = Tensor::empty({v.dim(0), v.dim(1), v.dim(2), v.dim(3) + 1});
  const int64_t V = v.dim(3), rows = v.count() / std::max<int64_t>(V, 1);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(v.f32() + i * V, V, ones.f32() + i * (V + 1)), ones.f32()[i * (V + 1) + V] = 1;
  scan(c, c.flat(each(c.raw("q"), phi)), c.flat(each(c.raw("k"), phi)), c.flat(ones), {}, 1, {}, false);
  Tensor all = c.out.at("o"), o = Tensor::empty(v.shape());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < V; ++j) o.f32()[i * V + j] = static_cast<float>(all.f32()[i * (V + 1) + j] / (all.f32()[i * (V + 1) + V] + eps));
  c.out["o"] = o;
}
void gated_delta_product(Call& c) {
  const int64_t steps = c.window("num_householder");
  c.T *= steps;
  Tensor q = c.raw("q"), g = c.raw("g");
  // Every token becomes `steps` tokens: the decay comes with the first, the answer of the last is read.
  auto spread = [&](const Tensor& x, int64_t at) {
    const int64_t width = x.count() / (x.dim(0) * x.dim(1));
    Shape s = x.shape();
    s[1] *= steps;
    Tensor y = Tensor::zeros(s);
    for (int64_t i = 0; i < x.dim(0) * x.dim(1); ++i) std::copy_n(x.f32() + i * width, width, y.f32() + (i * steps + at) * width);
    return y;
  };
  scan(c, c.flat(spread(q, steps - 1)), c.timed("k"), c.timed("v"), {.log_decay = c.flat(spread(g, 0)), .beta = c.timed("beta")}, root_of_key(c),
      c.first_state());
  Tensor all = c.out.at("o");
  const int64_t width = all.dim(2) * all.dim(3);
  Tensor o = Tensor::empty({c.B, c.T / steps, all.dim(2), all.dim(3)});
  for (int64_t i = 0; i < c.B * (c.T / steps); ++i) std::copy_n(all.f32() + (i * steps + steps - 1) * width, width, o.f32() + i * width);
  c.out["o"] = o;
}
// State [P,N] where ours is [key N, value P].
void mamba2_ssd(Call& c) {
  Tensor x = c.raw("x"), dt = c.raw("dt"), A = c.raw("A"), v = x.contiguous_copy(), g = dt.contiguous_copy();
  const int64_t H = x.dim(-2), P = x.dim(-1);
  for (int64_t i = 0; i < v.count(); ++i) v.f32()[i] *= dt.f32()[i / P];
  for (int64_t i = 0; i < g.count(); ++i) g.f32()[i] *= A.f32()[i % H];
  scan(c, c.timed("C"), c.timed("B"), c.flat(v), {.log_decay = c.flat(g)}, 1, c.has("h0") ? last_two_swapped(c.raw("h0")) : Tensor{});
  if (c.out.contains("final_state")) c.out["final_state"] = last_two_swapped(c.out["final_state"]);
}

constexpr const char *by_key = "o [B,T,H,V]; final_state [B,H,K,V]", *root = "scale = K^-1/2";
const Entry table[] = {
    {{"linear_attn", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; (h0 [B,H,K,V])", root, by_key, "S += k v^T; o = scale q S"}, linear_attn},
    {{"linear_transformer_elu", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]",
      "eps = 1e-6", "o [B,T,H,V]", "phi(q) sum phi(k) v^T / (phi(q) sum phi(k) + eps), phi = elu + 1"},
        linear_transformer_elu},
    {{"retention", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]", root, "o [B,T,H,V]", "S = (1 - 2^(-5-h)) S + k v^T"}, retention},
    {{"lightning_attention", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; (h0 [B,H,K,V])",
      "slopes = 2^(-8(h+1)/H); scale = 1", by_key, "S = exp(-slope_h) S + k v^T"}, lightning_attention},
    {{"simple_gla", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; g [B,T,H]; (h0 [B,H,K,V])", root, by_key, "S = exp(g) S + k v^T"}, simple_gla},
    {{"gla", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; gk [B,T,H,K]; (h0 [B,H,K,V])", root, by_key, "S = diag(exp(gk)) S + k v^T"}, gla},
    {{"hgrn2", "q [B,T,H,K]; f [B,T,H,K]; v [B,T,H,V]; (h0 [B,H,K,V])", "scale = 1", by_key, "S = diag(f) S + (1 - f) v^T"}, hgrn2},
    {{"delta_rule", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; beta [B,T,H]; (h0 [B,H,K,V])", root, by_key, "S += k (beta (v - k^T S))^T"}, delta_rule},
    {{"delta_rule_neg_eigval", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; beta [B,T,H]; (h0 [B,H,K,V])",
      root, by_key, "as delta_rule, beta in (0,2)"}, delta_rule},
    {{"gated_delta_rule", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; beta [B,T,H]; g [B,T,H]; (h0 [B,H,K,V])",
      root, by_key, "S = exp(g) S, then the delta rule"}, gated_delta_rule},
    {{"kda", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; beta [B,T,H]; g [B,T,H,K]; (h0 [B,H,K,V])",
      root, by_key, "S = diag(exp(g)) S, then the delta rule"}, gated_delta_rule},
    {{"gated_delta_product", "q [B,T,H,K]; k [B,nT,H,K]; v [B,nT,H,V]; beta [B,nT,H]; g [B,T,H]; (h0 [B,H,K,V])",
      "num_householder; scale = K^-1/2", by_key,
      "n delta steps a token, one decay"}, gated_delta_product},
    {{"rwkv5", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; w [H,K]; u [H,K]; (h0 [B,H,K,V])",
      "scale = 1", by_key, "o = q (S + diag(u) k v^T); S = diag(exp(w)) S + k v^T"}, rwkv5},
    {{"rwkv6", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; w [B,T,H,K]; u [H,K]; (h0 [B,H,K,V])",
      "scale = 1", by_key, "o = q (S + diag(u) k v^T); S = diag(exp(w)) S + k v^T"}, rwkv6},
    {{"rwkv7", "r [B,T,H,K]; w [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; a [B,T,H,K]; b [B,T,H,K]; (h0 [B,H,K,V])",
      "scale = 1", by_key, "S = diag(exp(w)) S + b (a^T S) + k v^T; o = r S"},
        rwkv7},
    {{"mamba2_ssd", "x [B,T,H,P]; dt [B,T,H]; A [H]; B [B,T,H,N]; C [B,T,H,N]; (h0 [B,H,P,N])", "", "o [B,T,H,P]; final_state [B,H,P,N]",
      "h = exp(dt A) h + dt x B^T; o = h C"}, mamba2_ssd},
};

}  // namespace

std::span<const Entry> linear_scan_entries() { return table; }

}  // namespace headrace::op
