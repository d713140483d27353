// Operators with a matrix as state: linear attention, q, k, v and how the state forgets.
#include <algorithm>

#include "run/op_call.h"

namespace headrace::op {
namespace {

Tensor ones(const Shape& shape, Device device) { return exp(Tensor::zeros(shape, DType::f32, device)); }
Tensor last_two_swapped(const Tensor& x) {               // [B,H,P,N] -> [B,H,N,P]
  const int64_t P = x.dim(-2), N = x.dim(-1);
  std::vector<int64_t> from;
  for (int64_t b = 0; b < x.count() / std::max<int64_t>(P * N, 1); ++b)
    for (int64_t n = 0; n < N; ++n)
      for (int64_t p = 0; p < P; ++p) from.push_back((b * P + p) * N + n);
  return take_rows(x.view({x.count(), 1}), from).view({x.dim(0), x.dim(1), N, P});
}

struct Policy {
  Tensor log_decay = {}, a = {}, b = {}, beta = {};      // [B*T,...]
  Tensor constant_decay = {}, bonus = {};                // [H] or [1,H,K]; [H,K]
};
Tensor scanned(Call& c, const Tensor& q, const Tensor& k, const Tensor& v, const Policy& p, double default_scale, const Tensor& first) {
  const float scale = static_cast<float>(c.number("scale", default_scale));
  std::vector<Tensor> x{q, k, v};
  for (const Tensor* t : {&p.log_decay, &p.a, &p.b, &p.beta})
    if (*t) x.push_back(*t);
  return c.over_time(x, [&](const std::vector<Tensor>& x, const Slot& slot) {
    LinearScan s{.q = x[0], .k = x[1], .v = x[2], .log_decay = p.constant_decay, .bonus = p.bonus, .scale = scale};
    size_t i = 3;
    if (p.log_decay) s.log_decay = x[i++];
    if (p.a) s.a = x[i++], s.b = x[i++];
    if (p.beta) s.beta = x[i++];
    return linear_scan(s, slot);
  }, first);
}
void scan(Call& c, const Tensor& q, const Tensor& k, const Tensor& v, const Policy& p, double default_scale, const Tensor& first,
    bool report = true) {
  c.give("o", scanned(c, q, k, v, p, default_scale, first));
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
void delta_rule_neg_eigval(Call& c) {
  const Value* v = c.parameters.find("allow_neg_eigval");
  bool allowed = true;
  expect(!v || (read_value(*v, allowed) && allowed), "op delta_rule_neg_eigval: parameter allow_neg_eigval: only true is known");
  delta_rule(c);
}
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
  c.check_gates("f");
  const Tensor f = c.timed("f");
  scan(c, c.timed("q"), -1.f * f + ones({f.dim(-1)}, c.device), c.timed("v"), {.log_decay = c.log_gates(f)}, 1, c.first_state());
}
void linear_transformer_elu(Call& c) {
  const float eps = static_cast<float>(c.number("eps", 1e-6));
  const Tensor y = c.over_time({elu_plus_one(c.timed("q")), elu_plus_one(c.timed("k")), with_ones(c.timed("v"))},
                               [](const std::vector<Tensor>& x, const Slot& slot) { return linear_scan({.q = x[0], .k = x[1], .v = x[2]}, slot); });
  c.give("o", normalised(y, {}, eps));
}
// Every token becomes `steps` tokens: the decay comes with the first, the answer of the last is read.
void gated_delta_product(Call& c) {
  const int64_t steps = c.window("num_householder"), N = c.B * c.T, H = c.in.at("q").dim(2), K = c.in.at("q").dim(3);
  const auto spread = [&](const Tensor& rows, int64_t at) {  // [N,W] -> [N steps,W], zero but at each token's step `at`
    std::vector<int64_t> from(static_cast<size_t>(N * steps), N);
    for (int64_t i = 0; i < N; ++i) from[static_cast<size_t>(i * steps + at)] = i;
    return take_rows(concat_rows({rows, Tensor::zeros({1, rows.dim(1)}, DType::f32, c.device)}), from);
  };
  const Tensor q = spread(c.timed("q").view({N, H * K}), steps - 1).view({N * steps, H, K}), g = spread(c.timed("g"), 0);
  c.T *= steps;
  const Tensor y = scanned(c, q, c.timed("k"), c.timed("v"), {.log_decay = g, .beta = c.timed("beta")}, root_of_key(c), c.first_state());
  c.T /= steps;
  std::vector<int64_t> last;
  for (int64_t i = 0; i < N; ++i) last.push_back(i * steps + steps - 1);
  c.give("o", take_rows(y.view({N * steps, y.dim(1) * y.dim(2)}), last).view({N, y.dim(1), y.dim(2)}));
  if (Tensor s = c.state()) c.out["final_state"] = s;
}
// State [P,N] where ours is [key N, value P].
void mamba2_ssd(Call& c) {
  const Tensor dt = c.timed("dt");
  scan(c, c.timed("C"), c.timed("B"), scale_heads(c.timed("x"), dt), {.log_decay = dt * c.weight("A")}, 1,
       c.has("h0") ? last_two_swapped(c.raw("h0")) : Tensor{});
  if (c.out.contains("final_state")) c.out["final_state"] = last_two_swapped(c.out["final_state"]);
}
// A token's position in its sequence, for each of a slot's rows: the states know how many came before.
void log_linear_attn(Call& c) {
  c.check_says("levels", c.in.at("level_scales").dim(3));
  const float scale = static_cast<float>(c.number("scale", 1));
  std::vector<Tensor> x{c.timed("q"), c.timed("k"), c.timed("v"), c.timed("level_scales"), c.timed("g")};
  if (c.has("beta")) x.push_back(c.timed("beta"));
  std::vector<int64_t> seen(static_cast<size_t>(c.B));
  const Tensor y = c.over_time(x, [&](const std::vector<Tensor>& x, const Slot& slot) {
    std::vector<int32_t> positions;
    for (int s = 0; s < slot.sequences.count(); ++s)
      for (int64_t t = slot.sequences.offsets[s]; t < slot.sequences.offsets[s + 1]; ++t)
        positions.push_back(static_cast<int32_t>(seen[static_cast<size_t>(slot.values[static_cast<size_t>(s)] - c.states.data())]++));
    return log_linear({.q = x[0], .k = x[1], .v = x[2], .levels = x[3], .log_decay = x[4], .beta = x.size() > 5 ? x[5] : Tensor{}, .scale = scale},
                      positions, slot);
  });
  c.give("o", y);
}
void mlstm(Call& c) {
  const float scale = static_cast<float>(c.number("scale", root_of_key(c))), eps = static_cast<float>(c.number("eps", 1e-6));
  std::vector<SlotValue> maxima(static_cast<size_t>(c.B));
  const Tensor y = c.over_time({c.timed("q"), c.timed("k"), c.timed("v"), c.timed("i"), log_sigmoid(c.timed("f"))},
                               [&](const std::vector<Tensor>& x, const Slot& slot) {
    Slot maximum = slot;
    for (SlotValue*& v : maximum.values) v = &maxima[static_cast<size_t>(v - c.states.data())];
    return headrace::mlstm({.q = x[0], .k = x[1], .v = x[2], .input = x[3], .log_forget = x[4], .scale = scale, .eps = eps}, slot, maximum);
  });
  c.give("o", y);
  const Tensor s = c.state();                            // [B,H,K,V+1]
  const int64_t H = s.dim(1), K = s.dim(2), V = s.dim(3) - 1;
  const Tensor flat = s.view({c.B * H * K, V + 1});
  c.out["c"] = concat_rows({flat.slice(1, 0, V)}).view({c.B, H, K, V});
  c.out["n"] = concat_rows({flat.slice(1, V, 1)}).view({c.B, H, K});
  std::vector<Tensor> m;
  for (const SlotValue& v : maxima) m.push_back(copy_to(v.value.view({1, H, 1}), Device::cpu));
  c.out["m"] = concat_rows(m);
}

constexpr const char *by_key = "o [B,T,H,V]; final_state [B,H,K,V]", *root = "scale = K^-1/2";
const Entry table[] = {
    {{"linear_attn", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; (h0 [B,H,K,V])", "scale = K^-1/2; normalize = false", by_key,
      "S += k v^T; o = scale q S"}, linear_attn},
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
      root, by_key, "as delta_rule, beta in (0,2)"}, delta_rule_neg_eigval},
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
    {{"mlstm", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; i [B,T,H]; f [B,T,H]", "scale = K^-1/2; eps = 1e-6",
      "o [B,T,H,V]; c [B,H,K,V]; n [B,H,K]; m [B,H,1]",
      "C = sigmoid(f) C + exp(i) k v^T, n alike; o = q C / max(|q.n|, 1); c, n times exp(-m), m the running maximum"}, mlstm},
    {{"log_linear_attn", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; g [B,T,H]; level_scales [B,T,H,L]; (beta [B,T,H])", "scale = 1", "o [B,T,H,V]",
      "o_i = sum_j level_scales_i[bit width of (i xor j)] exp(sum g) q_i.k_j v_j; with beta the delta rule"}, log_linear_attn},
};

}  // namespace

std::span<const Entry> linear_scan_entries() { return table; }

}  // namespace headrace::op
