#include "run/op.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "base/error.h"
#include "nn/config.h"
#include "run/op_shapes.h"
#include "tensor/blocks.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace headrace {
namespace {

using Named = std::map<std::string, Tensor>;

// f of every number, on the CPU: what definitions do to inputs before the primitive.
template <class F>
Tensor each(const Tensor& x, F f) {
  Tensor y = x.contiguous_copy();
  for (int64_t i = 0; i < y.count(); ++i) y.f32()[i] = static_cast<float>(f(double{y.f32()[i]}));
  return y;
}
Tensor row_for_each(const Tensor& row, int64_t n) {      // [C] -> [n,C]
  Tensor y = Tensor::empty({n, row.count()});
  for (int64_t i = 0; i < n; ++i) std::copy_n(row.f32(), row.count(), y.f32() + i * row.count());
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

struct Call {
  const std::string& name;
  const Named& in;
  const Value& parameters;
  OpForm form;
  Device device;
  int64_t B, T;                                          // of the tensors that run over time; inputs have the entry's shapes
  Named out = {};

  bool has(const char* key) const { return in.contains(key); }
  Tensor raw(const char* key) const {                    // f32, contiguous, on the CPU
    const Tensor& t = in.at(key);
    expect(is_float(t.dtype()) && t.device() == Device::cpu, "op ", name, ": ", key, " is ", t.dtype(), ", wanted f32");
    if (t.dtype() == DType::f32) return t.contiguous_or_copy();
    Tensor whole = t.contiguous_or_copy(), y = Tensor::empty(t.shape());
    dequantise_row(t.dtype(), whole.raw(), y.f32(), t.count());
    return y;
  }
  Tensor weight(const char* key) const { return has(key) ? copy_to(raw(key), device) : Tensor{}; }
  // [B,T,...] -> [B*T,...]
  Tensor flat(const Tensor& x) const {
    Shape s(x.shape().dims().subspan(1));
    s[0] = B * T;
    return copy_to(x.view(s), device);
  }
  Tensor timed(const char* key) const { return flat(raw(key)); }
  double number(const char* key, double otherwise) const {
    const Value* v = parameters.find(key);
    double d = otherwise;
    expect(!v || read_value(*v, d), "op ", name, ": parameter ", key, " = ", v ? to_json(*v).substr(0, 80) : "", ", wanted a number");
    return d;
  }
  int64_t window(const char* key) const {
    const Value* v = parameters.find(key);
    int64_t n = 0;
    expect(v && read_value(*v, n) && n >= 0 && n < (int64_t{1} << 40), "op ", name, ": parameter ", key,
           v ? text(" = ", to_json(*v).substr(0, 80)) : " is missing",
           ", wanted a count of tokens");
    return n;
  }
  void give(const char* key, const Tensor& rows) {       // [B*T,...] -> [B,T,...]
    Tensor y = copy_to(rows.contiguous_or_copy(), Device::cpu);
    Shape s = y.shape();
    std::vector<int64_t> dims{B, T};
    dims.insert(dims.end(), s.dims().begin() + 1, s.dims().end());
    out[key] = y.view(Shape(dims));
  }

  // f(inputs of some tokens, slot) over all sequences in the form that was asked for. `first`: [B,...] or empty.
  Tensor over_time(const std::vector<Tensor>& x, const std::function<Tensor(const std::vector<Tensor>&, const Slot&)>& f, const Tensor& first = {},
                   bool with_state = true) {
    states.assign(static_cast<size_t>(B), {});
    for (int64_t b = 0; first && b < B; ++b) states[static_cast<size_t>(b)].value = copy_to(first[b].contiguous_copy(), device);
    const bool whole = form == OpForm::naive || form == OpForm::whole || !with_state;
    if (whole) {                                         // one ragged batch
      std::vector<int64_t> offsets;
      for (int64_t b = 0; b <= B; ++b) offsets.push_back(b * T);
      Slot slot{.sequences = {offsets}, .values = {}, .form = Form::whole};
      for (SlotValue& s : states)
        if (with_state) slot.values.push_back(&s);
      return f(x, slot);
    }
    const int64_t piece = form == OpForm::step ? 1 : 64;
    Tensor y;
    for (int64_t b = 0; b < B; ++b)
      for (int64_t t = 0; t < T; t += piece) {
        const int64_t n = std::min(piece, T - t);
        const std::vector<int64_t> offsets{0, n};
        std::vector<Tensor> part;
        for (const Tensor& i : x) part.push_back(i.slice(0, b * T + t, n));
        Tensor rows = f(part, {.sequences = {offsets}, .values = {&states[static_cast<size_t>(b)]}, .form = piece == 1 ? Form::step : Form::chunk});
        if (!y) {
          Shape s = rows.shape();
          s[0] = B * T;
          y = Tensor::empty(s, DType::f32, device);
        }
        copy_bytes(y.data<std::byte>() + (b * T + t) * y.stride(0) * 4, device, rows.raw(), device, rows.bytes());
      }
    return y;
  }
  Tensor state() const {                                 // [B,...] after over_time
    if (states.empty() || !states[0].value) return {};
    std::vector<int64_t> dims{B};
    for (int64_t d : states[0].value.shape().dims()) dims.push_back(d);
    Tensor y = Tensor::empty(Shape(dims));
    for (int64_t b = 0; b < B; ++b) {
      const Tensor& s = states[static_cast<size_t>(b)].value;
      copy_bytes(y[b].raw(), Device::cpu, s.raw(), device, s.bytes());
    }
    return y;
  }
  std::vector<SlotValue> states;
};

// ---- attention

void attend(Call& c, Attention o) {
  o.scale = static_cast<float>(c.number("scale", 0));
  Tensor y = c.over_time({c.timed("q"), c.timed("k"), c.timed("v")},
                         [&](const std::vector<Tensor>& x, const Slot& slot) { return attention(x[0], x[1], x[2], o, slot); }, {}, o.causal);
  c.give("o", y);
}
void attn_causal(Call& c) { attend(c, {}); }
void attn_full(Call& c) { attend(c, {.causal = false}); }
void attn_sliding_window(Call& c) { attend(c, {.window = c.window("window")}); }
void attn_window_bidir(Call& c) {
  const int64_t half = c.window("half_window");
  attend(c, {.window = half + 1, .causal = false, .ahead = half});
}
void attn_softcap_sink_alibi(Call& c) {
  Attention o{.cap = static_cast<float>(c.number("cap", 0)), .sinks = c.weight("sinks")};
  const int64_t H = c.in.at("q").dim(-2);
  const Value* alibi = c.parameters.find("alibi");
  bool slopes = false;
  expect(!alibi || read_value(*alibi, slopes), "op ", c.name, ": parameter alibi: wanted true or false");
  if (slopes) {
    Tensor s = Tensor::empty({H});
    for (int64_t h = 0; h < H; ++h) s.f32()[h] = static_cast<float>(std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(H)));
    o.slopes = copy_to(s, c.device);
  }
  attend(c, std::move(o));
}

// ---- linear attention: q, k, v and how the state forgets

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
Tensor first_state(const Call& c) { return c.has("h0") ? c.raw("h0") : Tensor{}; }
void qkv(Call& c, const Policy& p, double scale) { scan(c, c.timed("q"), c.timed("k"), c.timed("v"), p, scale, first_state(c)); }

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
  scan(c, c.timed("r"), c.timed("k"), c.timed("v"), {.log_decay = c.timed("w"), .a = c.timed("a"), .b = c.timed("b")}, 1, first_state(c));
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
       1, first_state(c));
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
      first_state(c));
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

// ---- states of vectors

Tensor scan_rows(Call& c, const Tensor& log_decay, const Tensor& input, const Tensor& first) {
  return c.over_time({log_decay, input}, [](const std::vector<Tensor>& x, const Slot& slot) { return diag_scan(x[0], x[1], slot); }, first);
}
void hgrn(Call& c) {
  c.give("o", scan_rows(c, c.timed("g"), c.timed("x"), first_state(c)));
  if (Tensor s = c.state()) c.out["final_state"] = s;
}
std::vector<int32_t> positions(const Call& c) {
  std::vector<int32_t> p;
  for (int64_t i = 0; i < c.B * c.T; ++i) p.push_back(static_cast<int32_t>(i % c.T));
  return p;
}
void rg_lru(Call& c) {
  Tensor x = c.timed("x");
  Tensor forget = sigmoid(block_linear(x, c.weight("recurrent_gate_weight"), c.weight("recurrent_gate_bias")));
  Tensor admit = sigmoid(block_linear(x, c.weight("input_gate_weight"), c.weight("input_gate_bias")));
  Tensor log_a = -8.f * (forget * softplus(c.weight("recurrent_param")));
  Tensor gain = where_starts(positions(c), 1.f, sqrt_one_minus_exp(log_a, 2));
  c.give("o", scan_rows(c, log_a, gain * (admit * x), {}));
  if (Tensor s = c.state()) c.out["final_state"] = s;
}
// Complex: turned back by the angle of its position, an input meets a real decay; the state is turned forth again.
void lru(Call& c) {
  Tensor u = c.timed("u"), nu = c.raw("nu_log"), theta = c.raw("theta_log");
  const int64_t N = c.B * c.T, S = nu.count();
  Rope forth{.rotary = static_cast<int>(2 * S)}, back{.rotary = static_cast<int>(2 * S)};
  for (int64_t i = 0; i < S; ++i) {
    forth.inverse_frequency.push_back(std::exp(theta.f32()[i]));
    back.inverse_frequency.push_back(-forth.inverse_frequency.back());
  }
  Tensor gamma = exp(c.weight("gamma_log").view({S}));
  Tensor input = concat({linear(u, c.weight("B_re")) * gamma, linear(u, c.weight("B_im")) * gamma});
  input = rope(input.view({N, 1, 2 * S}), back, positions(c)).view({N, 2 * S});
  Tensor one = each(nu, [](double x) { return -std::exp(x); }), log_decay = Tensor::empty({2 * S});
  for (int64_t i = 0; i < 2 * S; ++i) log_decay.f32()[i] = one.f32()[i % S];
  Tensor h = scan_rows(c, copy_to(row_for_each(log_decay, N), c.device), input, {});
  h = rope(h.view({N, 1, 2 * S}), forth, positions(c)).view({N, 2 * S});
  Tensor re = h.slice(-1, 0, S), im = h.slice(-1, S, S);
  c.give("o", linear(re, c.weight("C_re")) - linear(im, c.weight("C_im")) + u * c.weight("D").view({u.dim(1)}));
  Tensor end = copy_to(h.contiguous_or_copy(), Device::cpu), h_re = Tensor::empty({c.B, S}), h_im = Tensor::empty({c.B, S});
  for (int64_t b = 0; b < c.B && c.T > 0; ++b) {
    const float* last = end.f32() + (b * c.T + c.T - 1) * 2 * S;
    std::copy_n(last, S, h_re.f32() + b * S);
    std::copy_n(last + S, S, h_im.f32() + b * S);
  }
  c.out["h_re"] = h_re, c.out["h_im"] = h_im;
}
void mamba_selective_scan(Call& c) {
  Tensor u = c.timed("u"), dt = c.timed("delta"), A = c.weight("A");
  if (c.has("delta_bias")) dt = dt + c.weight("delta_bias").view({u.dim(1)});
  const Value* soft = c.parameters.find("delta_softplus");
  bool softened = false;
  expect(!soft || read_value(*soft, softened), "op mamba_selective_scan: parameter delta_softplus: wanted true or false");
  if (softened) dt = softplus(dt);
  Tensor y = c.over_time({u, dt, c.timed("B"), c.timed("C")},
                         [&](const std::vector<Tensor>& x, const Slot& slot) { return selective_scan(x[0], x[1], A, x[2], x[3], slot); },
                         first_state(c));
  if (c.has("D")) y = y + u * c.weight("D").view({u.dim(1)});
  if (c.has("z")) y = binary(Binary::silu_multiply, c.timed("z"), y);
  c.give("o", y);
  if (Tensor s = c.state()) c.out["final_state"] = s;
}
void rwkv4_wkv(Call& c) {
  Tensor w = copy_to(each(c.raw("w"), [](double x) { return -std::exp(x); }), c.device), u = c.weight("u");
  c.give("o", c.over_time({c.timed("k"), c.timed("v")},
                          [&](const std::vector<Tensor>& x, const Slot& slot) { return rwkv4_scan(w, u, x[0], x[1], slot); }));
  Tensor s = c.state();
  const char* names[] = {"num", "den", "maxexp"};
  for (int i = 0; s && i < 3; ++i) c.out[names[i]] = s.slice(1, i, 1).contiguous_copy().view({c.B, s.dim(2)});
}
void causal_conv1d(Call& c) {
  Tensor w = c.raw("weight"), taps = copy_to(w.view({w.dim(0), w.dim(-1)}), c.device), bias = c.weight("bias");
  auto convolve = [&](bool silu) {
    return c.over_time({c.timed("x")}, [&](const std::vector<Tensor>& x, const Slot& slot) { return short_conv(x[0], taps, bias, silu, slot); },
                       c.has("init") ? c.raw("init") : Tensor{});
  };
  c.give("o", convolve(true));
  c.give("no_act", convolve(false));
}

constexpr const char *qkv_in = "q [B,T,H,K]; k [B,T,Hkv,K]; v [B,T,Hkv,V]", *by_key = "o [B,T,H,V]; final_state [B,H,K,V]", *root = "scale = K^-1/2";
struct Entry { OpInfo info; void (*run)(Call&); };
const Entry table[] = {
    {{"attn_causal", qkv_in, root, "o [B,T,H,V]", "softmax(scale q k^T) v over j <= i"}, attn_causal},
    {{"attn_full", qkv_in, root, "o [B,T,H,V]", "softmax(scale q k^T) v, no mask"}, attn_full},
    {{"attn_sliding_window", qkv_in, "window; scale = K^-1/2", "o [B,T,H,V]", "over 0 <= i - j < window"}, attn_sliding_window},
    {{"attn_window_bidir", qkv_in, "half_window; scale = K^-1/2", "o [B,T,H,V]", "over |i - j| <= half_window"}, attn_window_bidir},
    {{"attn_softcap_sink_alibi", "q [B,T,H,K]; k [B,T,Hkv,K]; v [B,T,Hkv,V]; (sinks [H])", "scale = K^-1/2; cap = 0; alibi = false", "o [B,T,H,V]",
      "scores cap tanh(scale q.k / cap) - 2^(-8(h+1)/H) (i - j), a sink logit in the denominator"}, attn_softcap_sink_alibi},
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
    {{"mamba_selective_scan", "u [B,T,C]; delta [B,T,C]; A [C,N]; B [B,T,N]; C [B,T,N]; (D [C]; z [B,T,C]; delta_bias [C]; h0 [B,C,N])",
      "delta_softplus = false", "o [B,T,C]; final_state [B,C,N]", "h = exp(dt A) h + dt B u; o = (C.h + D u) silu(z)"}, mamba_selective_scan},
    {{"hgrn", "x [B,T,C]; g [B,T,C]; (h0 [B,C])", "", "o [B,T,C]; final_state [B,C]", "h = exp(g) h + x"}, hgrn},
    {{"rg_lru", "x [B,T,C]; recurrent_param [C]; input_gate_weight [H,C/H,C/H]; input_gate_bias [H,C/H]; recurrent_gate_weight [H,C/H,C/H]; "
      "recurrent_gate_bias [H,C/H]", "", "o [B,T,C]; final_state [B,C]",
          "a = exp(-8 softplus(p) r); h = a h + sqrt(1 - a^2) i x, 1 for the root at the start"}, rg_lru},
    {{"lru", "u [B,T,D]; nu_log [S]; theta_log [S]; gamma_log [S]; B_re [S,D]; B_im [S,D]; C_re [D,S]; C_im [D,S]; D [D]", "",
      "o [B,T,D]; h_re [B,S]; h_im [B,S]", "h = exp(-exp(nu_log) + i exp(theta_log)) h + exp(gamma_log) B u; o = Re(C h) + D u"}, lru},
    {{"rwkv4_wkv", "w [C]; u [C]; k [B,T,C]; v [B,T,C]", "", "o [B,T,C]; num, den, maxexp [B,C]",
        "means of v under weights exp(k), decay exp(-exp(w)), bonus u"}, rwkv4_wkv},
    {{"causal_conv1d", "x [B,T,C]; weight [C,1,taps]; (bias [C]; init [B,taps-1,C])", "", "o [B,T,C]; no_act [B,T,C]",
      "depthwise, the last tap meets the newest token; o with SiLU"}, causal_conv1d},
};

}  // namespace

std::span<const OpInfo> op_infos() {
  static const std::vector<OpInfo> all = [] {
    std::vector<OpInfo> infos;
    for (const Entry& e : table) infos.push_back(e.info);
    return infos;
  }();
  return all;
}

OpForm op_form_from_name(const std::string& name) {
  if (name == "naive") return OpForm::naive;
  if (name == "step") return OpForm::step;
  if (name == "chunk") return OpForm::chunk;
  if (name == "whole") return OpForm::whole;
  fail("form '", name, "' is not known; known: naive, step, chunk, whole");
}

std::map<std::string, Tensor> run_op(const std::string& name, const std::map<std::string, Tensor>& in, const Value& parameters,
                                     OpForm form, Device device) {
  std::string known;
  for (const Entry& e : table) {
    known += std::string(known.empty() ? "" : ", ") + e.info.name;
    if (name != e.info.name) continue;
    Sizes known;
    if (const Value* n = parameters.find("num_householder")) {
      int64_t& steps = known["n"];
      expect(read_value(*n, steps) && steps >= 1 && steps <= (1 << 20), "op ", name, ": parameter num_householder = ", to_json(*n).substr(0, 80),
             ", wanted a count of 1 to ", 1 << 20);
    }
    const Sizes sizes = check_inputs(name, e.info.inputs, in, known);
    Call c{.name = name, .in = in, .parameters = parameters, .form = form, .device = device, .B = sizes.at("B"), .T = sizes.at("T")};
    if (form == OpForm::naive) {
      expect(device == Device::cpu, "op ", name, ": the definitions run on the cpu, not on ", device);
      UseNaive definitions;
      e.run(c);
    } else {
      e.run(c);
    }
    return std::move(c.out);
  }
  fail("operator '", name, "' is not known; known: ", known);
}

}  // namespace headrace
