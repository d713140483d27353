// Operators with a vector as state, and cells.
#include "ops/complex.h"
#include "run/op_call.h"

namespace headrace::op {
namespace {

// Elements of x in the order of `places`, in this shape: recorded, unlike a copy.
Tensor arranged(const Tensor& x, const std::vector<int64_t>& places, const Shape& shape) {
  return take_rows(x.view({x.count(), 1}), places).view(shape);
}

Tensor scan_rows(Call& c, const Tensor& log_decay, const Tensor& input, const Tensor& first) {
  return c.over_time({log_decay, input}, [](const std::vector<Tensor>& x, const Slot& slot) { return diag_scan(x[0], x[1], slot); }, first);
}
Complex complex_rows(Call& c, const Complex& factor, const Complex& input) {
  const int64_t S = factor.re.count();
  Tensor a = concat({factor.re.view({1, S}), factor.im.view({1, S})}).view({2 * S});
  Tensor h = c.over_time({concat({input.re, input.im})}, [&](const std::vector<Tensor>& x, const Slot& slot) { return complex_scan(a, x[0], slot); });
  return {h.slice(-1, 0, S), h.slice(-1, S, S)};
}
// Row `row` of each sequence's state [B,rows,...], as `shape`.
Tensor row_of_states(const Tensor& states, int64_t row, const Shape& shape) { return concat_rows({states.slice(1, row, 1)}).view(shape); }

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
void lru(Call& c) {
  Tensor u = c.timed("u"), size = exp(-1.f * exp(c.weight("nu_log"))), angle = exp(c.weight("theta_log")), gamma = exp(c.weight("gamma_log"));
  Complex h = complex_rows(c, {size * cos(angle), size * sin(angle)}, {linear(u, c.weight("B_re")) * gamma, linear(u, c.weight("B_im")) * gamma});
  c.give("o", linear(h.re, c.weight("C_re")) - linear(h.im, c.weight("C_im")) + u * c.weight("D"));
  if (Tensor s = c.state()) {
    const Shape shape{c.B, s.dim(2)};
    c.out["h_re"] = row_of_states(s, 0, shape), c.out["h_im"] = row_of_states(s, 1, shape);
  }
}
bool flag(const Call& c, const char* key, bool otherwise) {
  const Value* v = c.parameters.find(key);
  bool b = otherwise;
  expect(!v || read_value(*v, b), "op ", c.name, ": parameter ", key, ": wanted true or false");
  return b;
}
void s5(Call& c) {
  Tensor u = c.timed("u"), step = exp(c.weight("log_step").view({c.in.at("log_step").count()}));
  const Complex B = complex_of_pairs(c.weight("B")), C = complex_of_pairs(c.weight("C"));
  const Complex in{linear(u, B.re), linear(u, B.im)}, z = Complex{c.weight("Lambda_re"), c.weight("Lambda_im")} * step;
  const float pairs = flag(c, "conj_sym", true) ? 2.f : 1.f;
  auto give = [&](const char* key, const Complex& factor, const Complex& drive) {
    Complex h = complex_rows(c, factor, in * drive);
    c.give(key, pairs * (linear(h.re, C.re) - linear(h.im, C.im)) + u * c.weight("D"));
  };
  const Tensor size = exp(z.re);
  auto of_z = [&](ComplexUnary f) {
    const Complex y = unary(f, {z.re.view({1, z.re.count()}), z.im.view({1, z.re.count()})});
    return Complex{y.re.view(z.re.shape()), y.im.view(z.re.shape())};
  };
  give("o", {size * cos(z.im), size * sin(z.im)}, of_z(ComplexUnary::zero_order_hold) * step);
  const Complex gain = of_z(ComplexUnary::bilinear_gain);                // 1 / (1 - z/2)
  give("bilinear", gain + 0.5f * (z * gain), gain * step);
}
void mamba_selective_scan(Call& c) {
  Tensor u = c.timed("u"), dt = c.timed("delta"), A = c.weight("A");
  if (c.has("delta_bias")) dt = dt + c.weight("delta_bias").view({u.dim(1)});
  if (flag(c, "delta_softplus", false)) dt = softplus(dt);
  Tensor y = c.over_time({u, dt, c.timed("B"), c.timed("C")},
                         [&](const std::vector<Tensor>& x, const Slot& slot) { return selective_scan(x[0], x[1], A, x[2], x[3], slot); },
                         c.first_state());
  if (c.has("D")) y = y + u * c.weight("D").view({u.dim(1)});
  if (c.has("z")) y = binary(Binary::silu_multiply, c.timed("z"), y);
  c.give("o", y);
  if (Tensor s = c.state()) c.out["final_state"] = s;
}
void rwkv4_wkv(Call& c) {
  Tensor w = -1.f * exp(c.weight("w")), u = c.weight("u");
  c.give("o", c.over_time({c.timed("k"), c.timed("v")},
                          [&](const std::vector<Tensor>& x, const Slot& slot) { return rwkv4_scan(w, u, x[0], x[1], slot); }));
  Tensor s = c.state();
  const char* names[] = {"num", "den", "maxexp"};
  for (int i = 0; s && i < 3; ++i) c.out[names[i]] = row_of_states(s, i, {c.B, s.dim(2)});
}

// Layers one on the other by torch's names; `states` are the rows of a cell's state by their torch names, h first.
constexpr int most_layers = 4;
using CellScan = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, const Slot&);
void layers_of_cells(Call& c, CellScan scan, const std::vector<std::string>& states) {
  int layers = 1;
  while (layers < most_layers && c.has(text("weight_ih_l", layers).c_str())) ++layers;
  for (int l = layers; l < most_layers; ++l)
    for (const char* kind : {"weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"})
      expect(!c.has(text(kind, l).c_str()), "op ", c.name, ": input ", kind, l, ": weight_ih_l", layers, " is missing");
  expect(c.number("layers", layers) == layers, "op ", c.name, ": parameter layers = ", c.number("layers", layers), ", but the weights are those of ",
         layers);
  std::vector<std::vector<Tensor>> last(states.size());
  Tensor y = c.timed("x");
  for (int l = 0; l < layers; ++l) {
    auto weight = [&](const char* what, bool needed) {
      const std::string key = text(what, "_l", l);
      expect(!needed || c.has(key.c_str()), "op ", c.name, ": missing input ", key);
      return c.weight(key.c_str());
    };
    Tensor in = linear(y, weight("weight_ih", true), weight("bias_ih", false)), W = weight("weight_hh", true), bias = weight("bias_hh", false);
    Tensor first;
    if (c.has("h0") || c.has("c0")) {
      std::vector<Tensor> rows;
      for (const std::string& s : states) {
        const std::string key = s + "0";
        expect(c.has(key.c_str()) && c.in.at(key).dim(0) == layers,
               "op ", c.name, ": input ", key, ": wanted a state for each of ", layers, " layers");
        rows.push_back(c.raw(key.c_str())[l]);
      }
      first = concat(rows).view({c.B, static_cast<int64_t>(states.size()), W.dim(1)});
    }
    y = c.over_time({in}, [&](const std::vector<Tensor>& x, const Slot& slot) { return scan(x[0], W, bias, slot); }, first);
    const Tensor end = c.state();
    for (size_t i = 0; i < states.size(); ++i) last[i].push_back(row_of_states(end, static_cast<int64_t>(i), {1, c.B, W.dim(1)}));
  }
  c.give("o", y);
  for (size_t i = 0; i < states.size(); ++i) c.out[states[i] + "_n"] = concat_rows(last[i]);
}
void lstm(Call& c) { layers_of_cells(c, lstm_scan, {"h", "c"}); }
void gru(Call& c) { layers_of_cells(c, gru_scan, {"h"}); }
std::string cell_inputs(const char* rows, const char* states) {          // of `rows` C
  std::string s = text("x [B,T,I]; weight_hh_l0 [", rows, "C,C]; weight_ih_l0 [", rows, "C,I]; (bias_ih_l0 [", rows, "C]; bias_hh_l0 [", rows,
                       "C]; ", states);
  for (int l = 1; l < most_layers; ++l)
    for (const char* kind : {"weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"})
      s += text("; ", kind, l, " [", rows, kind[0] == 'w' ? "C,C]" : "C]");
  return s + ")";
}
const std::string lstm_inputs = cell_inputs("4", "h0 [L,B,C]; c0 [L,B,C]"), gru_inputs = cell_inputs("3", "h0 [L,B,C]");

void slstm(Call& c) {
  Tensor x = c.timed("x");
  const int64_t H = x.dim(2), P = x.dim(3), N = c.B * c.T;
  std::vector<int64_t> matrix, row;                                      // [H,in,gate,out] -> [gate,H,out,in]; [H,gate,P] -> [gate,H,P]
  for (int64_t g = 0; g < 4; ++g)
    for (int64_t h = 0; h < H; ++h)
      for (int64_t out = 0; out < P; ++out) {
        row.push_back((h * 4 + g) * P + out);
        for (int64_t in = 0; in < P; ++in) matrix.push_back(((h * P + in) * 4 + g) * P + out);
      }
  Tensor W = arranged(c.weight("recurrent"), matrix, {4 * H * P, P}), bias = arranged(c.weight("bias"), row, {4 * H * P});
  Tensor y = c.over_time({x.view({N, 4 * H * P})}, [&](const std::vector<Tensor>& in, const Slot& slot) { return slstm_scan(in[0], W, bias, slot); });
  c.give("o", y.view({N, H, P}));
  const char* names[] = {"h", "c", "n", "m"};
  for (int i = 1; i < 4; ++i) c.out[names[i]] = row_of_states(c.state(), i, {c.B, H, P});
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
    {{"s5", "u [B,T,D]; Lambda_re [N]; Lambda_im [N]; B [N,D,2]; C [D,N,2]; D [D]; log_step [N,1]", "conj_sym = true",
      "o [B,T,D]; bilinear [B,T,D]",
      "x = e^(lambda dt) x + ((e^(lambda dt) - 1)/lambda) B u; o = 2 Re(C x) + D u; the same by the bilinear rule"}, s5},
    {{"rwkv4_wkv", "w [C]; u [C]; k [B,T,C]; v [B,T,C]", "", "o [B,T,C]; num, den, maxexp [B,C]",
        "means of v under weights exp(k), decay exp(-exp(w)), bonus u"}, rwkv4_wkv},
    {{"lstm", lstm_inputs.c_str(), "layers", "o [B,T,C]; h_n, c_n [L,B,C]", "gates i, f, g, o; c = s(f) c + s(i) tanh(g); h = s(o) tanh(c)"}, lstm},
    {{"gru", gru_inputs.c_str(), "layers", "o [B,T,C]; h_n [L,B,C]", "gates r, z, n; n = tanh(x_n + r (W h + b)); h = (1 - z) n + z h"}, gru},
    {{"slstm", "x [B,T,4,H,P]; recurrent [H,P,4,P]; bias [H,4,P]", "", "o [B,T,H,P]; c, n, m [B,H,P]",
      "gates i, f, z, o; m = max(i, m + log s(f)); c = f' c + i' tanh(z); n = f' n + i'; o = s(o) c / n"}, slstm},
};

}  // namespace

std::span<const Entry> diag_scan_entries() { return table; }

}  // namespace headrace::op
