// Operators with a vector as state.
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
Tensor row_for_each(const Tensor& row, int64_t n) {      // [C] -> [n,C]
  Tensor y = Tensor::empty({n, row.count()});
  for (int64_t i = 0; i < n; ++i) std::copy_n(row.f32(), row.count(), y.f32() + i * row.count());
  return y;
}

Tensor scan_rows(Call& c, const Tensor& log_decay, const Tensor& input, const Tensor& first) {
  return c.over_time({log_decay, input}, [](const std::vector<Tensor>& x, const Slot& slot) { return diag_scan(x[0], x[1], slot); }, first);
}
void hgrn(Call& c) {
  c.give("o", scan_rows(c, c.timed("g"), c.timed("x"), c.first_state()));
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
                         c.first_state());
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

const Entry table[] = {
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
};

}  // namespace

std::span<const Entry> diag_scan_entries() { return table; }

}  // namespace headrace::op
