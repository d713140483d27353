// Convolutions, and the state-space models that are run as such.
#include <algorithm>

#include "mixers/hippo.h"
#include "ops/complex.h"
#include "ops/tape.h"
#include "run/op_call.h"

namespace headrace::op {
namespace {

using Tensors = std::vector<Tensor>;

Tensor convolve(Call& c, const Tensor& x, const LongConv& o) {
  return c.over_time({x}, [&](const Tensors& x, const Slot& slot) { return long_conv(x[0], o, slot); });
}
// A tensor whose dimensions of 1 are left out.
Tensor matrix(const Call& c, const char* key, int64_t rows) {
  const Tensor x = c.weight(key);
  return x.view({rows, x.count() / rows});
}
Complex complex_matrix(const Call& c, const char* key, int64_t rows) {
  const Tensor x = c.weight(key);
  return complex_of_pairs(x.view({rows, x.count() / rows / 2, 2}));
}
Tensor row(const Call& c, const char* key) { return matrix(c, key, 1).view({c.raw(key).count()}); }
// -exp(log_real) + i imag, and its product with the step.
Complex poles(const Call& c, const char* log_real, const char* imag) { return {-1.f * exp(c.weight(log_real)), c.weight(imag)}; }
Tensor steps(const Call& c, const char* log_dt) { return exp(c.weight(log_dt)).view({c.raw(log_dt).count(), 1}); }

void causal_conv1d(Call& c) {
  Tensor w = c.weight("weight"), taps = w.view({w.dim(0), w.dim(-1)}), bias = c.weight("bias");
  auto convolve = [&](bool silu) {
    return c.over_time({c.timed("x")}, [&](const Tensors& x, const Slot& slot) { return short_conv(x[0], taps, bias, silu, slot); },
                       c.has("init") ? c.raw("init") : Tensor{});
  };
  c.give("o", convolve(true));
  c.give("no_act", convolve(false));
}

void fft_long_conv(Call& c) { c.give("o", convolve(c, c.timed("u"), {.filter = c.weight("k"), .skip = c.weight("D")})); }

// The filter is an MLP with sines over positions, times exp(-t |delta|).
void hyena(Call& c) {
  const int64_t D = c.in.at("u").dim(2), I = c.in.at("in_proj_weight").dim(0), E = c.in.at("filter_fn_bias").dim(0), order = I / D - 1;
  expect(I % D == 0 && order >= 2 && E == D * (order - 1), "op hyena: in_proj_weight ", c.in.at("in_proj_weight").shape(), " and filter_fn_bias [", E,
         "]: wanted order + 1 and order - 1 times ", D);
  c.check_says("order", order);
  expect(c.in.at("filter_fn_pos_emb_z").dim(1) >= c.T, "op hyena: ", c.T, " tokens, but positions for ", c.in.at("filter_fn_pos_emb_z").dim(1));
  const Tensor z = matrix(c, "filter_fn_pos_emb_z", c.in.at("filter_fn_pos_emb_z").dim(1)).slice(0, 0, c.T);
  const Tensor t = c.weight("buf_filter_fn_pos_emb_t").view({c.in.at("buf_filter_fn_pos_emb_t").dim(1), 1}).slice(0, 0, c.T);
  const Tensor freq = row(c, "filter_fn_implicit_filter_1_freq");
  Tensor h = z;
  for (const std::string at : {"0", "2", "4"}) {
    const std::string name = "filter_fn_implicit_filter_" + at;
    h = sin(linear(h, c.weight((name + "_weight").c_str()), c.weight((name + "_bias").c_str())) * freq);
  }
  h = linear(h, c.weight("filter_fn_implicit_filter_6_weight"));
  h = h * exp(-1.f * matmul(t, unary(Unary::abs, matrix(c, "buf_filter_fn_modulation_deltas", 1))));
  const Tensor taps = matrix(c, "short_filter_weight", I), bias = c.weight("short_filter_bias");
  const Tensor p = c.over_time({linear(c.timed("u"), c.weight("in_proj_weight"), c.weight("in_proj_bias"))},
                               [&](const Tensors& x, const Slot& slot) { return short_conv(x[0], taps, bias, false, slot); });
  Tensor v = p.slice(1, order * D, D);
  for (int64_t i = order - 1, o = 0; i > 0; --i, ++o)
    v = convolve(c, v * p.slice(1, i * D, D),
                 {.filter = transposed(h.slice(1, o * D, D)), .skip = c.weight("filter_fn_bias").slice(0, o * D, D)});
  c.give("o", linear(v * p.slice(1, 0, D), c.weight("out_proj_weight"), c.weight("out_proj_bias")));
}

// C (e^(dt A) - 1) / A = dt C hold(dt A)
void s4d(Call& c) {
  const int64_t H = c.in.at("u").dim(1);
  const int64_t G = c.in.at("output_linear_0_bias").dim(0);
  c.check_says("d_state", 2 * c.in.at("kernel_C").dim(1));
  expect(G == 2 * H, "op s4d: input output_linear_0_bias: wanted [2H] = [", 2 * H, "], found [", G, "]");
  const Tensor dt = steps(c, "kernel_log_dt");
  const Complex z = poles(c, "kernel_log_A_real", "kernel_A_imag") * dt, C = complex_matrix(c, "kernel_C", H);
  const Tensor k = modal_filter(z, 2.f * (C * unary(ComplexUnary::zero_order_hold, z) * dt), c.T);
  const Tensor u = c.weight("u");                              // [B,H,T]
  Tensors in, out;
  for (int64_t b = 0; b < c.B; ++b) in.push_back(transposed(u.slice(0, b, 1).view({H, c.T})));
  const Tensor y = gelu_erf(convolve(c, concat_rows(in), {.filter = k, .skip = c.weight("D")}));
  const Tensor both = linear(y, matrix(c, "output_linear_0_weight", 2 * H), c.weight("output_linear_0_bias"));
  const Tensor o = binary(Binary::sigmoid_multiply, both.slice(1, H, H), both.slice(1, 0, H));
  for (int64_t b = 0; b < c.B; ++b) out.push_back(transposed(o.slice(0, b * c.T, c.T)));
  c.out["o"] = copy_to(concat_rows(out).view({c.B, H, c.T}), Device::cpu);
  c.out["kernel"] = copy_to(k, Device::cpu);
}

// Columns of x [N, H p] that belong to place d of their head.
Tensor of_heads(const Tensor& x, int64_t p, int64_t d) {
  if (p == 1) return x;
  Tensors columns;
  for (int64_t h = 0; h < x.dim(1) / p; ++h) columns.push_back(x.slice(1, h * p + d, 1));
  return concat(columns);
}
// Padded with zeros, or cut, to the length of the sequence.
Tensor as_long(const Tensor& k, int64_t T) {
  if (k.dim(1) >= T) return concat({k.slice(1, 0, T)});
  return concat({k, Tensor::zeros({k.dim(0), T - k.dim(1)}, DType::f32, k.device())});
}
void h3(Call& c) {
  const int64_t D = c.in.at("u").dim(2), H = c.in.at("D").dim(0), p = D / H;
  expect(D % H == 0, "op h3: D [", H, "] does not divide the width ", D);
  c.check_says("head_dim", p);
  const Tensor shift = shift_filter(c.weight("ssm_k_kernel_kernel_B"), matrix(c, "ssm_k_kernel_kernel_C", D));
  const Tensor dt = steps(c, "kernel_kernel_log_dt");
  const Complex z = poles(c, "kernel_kernel_inv_A_real", "kernel_kernel_A_imag") * dt;
  const Complex BC = complex_matrix(c, "kernel_kernel_B", H) * complex_matrix(c, "kernel_kernel_C", H);
  const Tensor diag = modal_filter(unary(ComplexUnary::bilinear_log, z), 2.f * (BC * unary(ComplexUnary::bilinear_gain, z) * dt), c.T);
  const Tensor u = c.timed("u"), q = linear(u, c.weight("q_proj_weight"), c.weight("q_proj_bias"));
  const Tensor v = linear(u, c.weight("v_proj_weight"), c.weight("v_proj_bias"));
  const Tensor k = convolve(c, linear(u, c.weight("k_proj_weight"), c.weight("k_proj_bias")), {.filter = shift, .skip = c.weight("ssm_k_D")});
  Tensors y;
  for (int64_t d2 = 0; d2 < p; ++d2) {
    Tensor sum;
    for (int64_t d1 = 0; d1 < p; ++d1) {
      const Tensor part = convolve(c, of_heads(k, p, d1) * of_heads(v, p, d2), {.filter = diag, .skip = c.weight("D")}) * of_heads(q, p, d1);
      sum = sum ? sum + part : part;
    }
    y.push_back(sum);
  }
  c.give("o", linear(concat(y), c.weight("output_linear_weight"), c.weight("output_linear_bias")));
  c.out["shift_kernel"] = copy_to(as_long(shift, c.T), Device::cpu);
  c.out["diag_kernel"] = copy_to(diag, Device::cpu);
}

// Whole sequences run the filter, in double from C to C (1 - dA^L); steps, chunks and what is differentiated run the recurrence.
void s4_dplr(Call& c) {
  const int64_t H = c.in.at("u").dim(2), N = c.in.at("A").dim(1);
  const auto recurrence = [&c, H] {
    return dplr_recurrence({complex_matrix(c, "A", H), complex_matrix(c, "B", H), complex_matrix(c, "P", H), steps(c, "log_dt")},
                           complex_matrix(c, "C", H));
  };
  const bool streams = c.form == OpForm::step || c.form == OpForm::chunk;
  const Tensor u = c.timed("u"), D = row(c, "D");
  if (streams || Tape::current()) c.give("o", convolve(c, u, {.filter = {}, .skip = D, .modes = recurrence()}));
  PauseTape values;
  Dplr s{.dt = c.raw("log_dt").contiguous_copy(), .A = c.raw("A"), .B = c.raw("B").view({H, N, 2}), .P = c.raw("P").view({H, N, 2})};
  for (int64_t h = 0; h < H; ++h) s.dt.f32()[h] = std::exp(s.dt.f32()[h]);
  const Tensor C = c.raw("C").view({H, N, 2});
  int64_t length = 1;
  while (length < c.T) length *= 2;
  const Tensor k = dplr_filter({complex_of_pairs(s.A), complex_of_pairs(s.B), complex_of_pairs(s.P), s.dt.view({H, 1})},
                               complex_of_pairs(truncated(s, C, length)), length, c.T);
  if (!c.out.contains("o")) c.give("o", convolve(c, u, {.filter = copy_to(k, c.device), .skip = D}));
  c.out["kernel"] = k.view({1, H, c.T});
  const Discrete d = discretised(s);
  c.out["dA"] = d.A, c.out["dB"] = d.B;
  Tensor both = Tensor::empty({1, H, 2 * N, 2});
  for (int64_t h = 0; h < H; ++h)
    for (int64_t n = 0; n < N; ++n) {
      const float re = C.f32()[(h * N + n) * 2], im = C.f32()[(h * N + n) * 2 + 1];
      float *one = both.f32() + (h * 2 * N + n) * 2, *other = one + 2 * N;
      one[0] = other[0] = re, one[1] = im, other[1] = -im;
    }
  c.out["dC"] = both;
}

const Entry table[] = {
    {{"causal_conv1d", "x [B,T,C]; weight [C,1,taps]; (bias [C]; init [B,taps-1,C])", "", "o [B,T,C]; no_act [B,T,C]",
      "depthwise, the last tap meets the newest token; o with SiLU"}, causal_conv1d},
    {{"fft_long_conv", "u [B,T,C]; k [C,L]; (D [C])", "", "o [B,T,C]", "o_t = sum_j k_j u_{t-j} + D u_t"}, fft_long_conv},
    {{"hyena",
      "u [B,T,D]; in_proj_weight [I,D]; in_proj_bias [I]; out_proj_weight [D,D]; out_proj_bias [D]; short_filter_weight [I,1,taps]; "
      "short_filter_bias [I]; filter_fn_bias [E]; filter_fn_pos_emb_z [1,L,Z]; filter_fn_implicit_filter_0_weight [O,Z]; "
      "filter_fn_implicit_filter_0_bias [O]; filter_fn_implicit_filter_1_freq [1,O]; filter_fn_implicit_filter_2_weight [O,O]; "
      "filter_fn_implicit_filter_2_bias [O]; filter_fn_implicit_filter_4_weight [O,O]; filter_fn_implicit_filter_4_bias [O]; "
      "filter_fn_implicit_filter_6_weight [E,O]; buf_filter_fn_pos_emb_t [1,L,1]; buf_filter_fn_modulation_deltas [1,1,E]",
      "", "o [B,T,D]", "I = (order + 1) D, E = (order - 1) D: v = k_i * (v x_i) + b_i v x_i for x_{order-1} .. x_1, then x_0 v"},
     hyena},
    {{"s4d",
      "u [B,H,T]; D [H]; kernel_C [H,N,2]; kernel_log_dt [H]; kernel_log_A_real [H,N]; kernel_A_imag [H,N]; output_linear_0_weight [G,H,1]; "
      "output_linear_0_bias [G]",
      "", "o [B,H,T]; kernel [H,T]", "k_l = 2 Re sum_n C (e^(dt A) - 1) / A e^(l dt A), then GELU and a gated linear unit"}, s4d},
    {{"h3",
      "u [B,T,D]; ssm_k_D [D]; D [H]; q_proj_weight [D,D]; q_proj_bias [D]; k_proj_weight [D,D]; k_proj_bias [D]; v_proj_weight [D,D]; "
      "v_proj_bias [D]; ssm_k_kernel_kernel_B [D,S]; ssm_k_kernel_kernel_C [1,D,S]; kernel_kernel_C [1,H,N,2]; kernel_kernel_log_dt [H]; "
      "kernel_kernel_B [H,N,2]; "
      "kernel_kernel_inv_A_real [H,N]; kernel_kernel_A_imag [H,N]; output_linear_weight [D,D]; output_linear_bias [D]",
      "", "o [B,T,D]; shift_kernel [D,T]; diag_kernel [H,T]", "q diag(shift(k) v) by head, diag bilinear"}, h3},
    {{"s4_dplr",
      "u [B,T,H]; log_dt [H]; A [H,N,2]; B [1,H,N,2]; C [1,H,N,2]; P [1,H,N,2]; D [1,H]; (raw_inv_dt [H,1]; raw_B [1,S,N,2]; raw_A_real [S,N]; "
      "raw_A_imag [S,N]; raw_P [1,S,N,2])",
      "", "o [B,T,H]; kernel [1,H,T]; dA [H,M,M,2]; dB [H,M,2]; dC [1,H,M,2]", "A = diag(A) - P P^*, N of M = 2 N states given; bilinear"}, s4_dplr},
};

}  // namespace

std::span<const Entry> conv_entries() { return table; }

}  // namespace headrace::op
