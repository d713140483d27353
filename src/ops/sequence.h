// The sequence primitives: the only code that sees time. x [N,...] holds the tokens of a ragged batch one after the
// other; a Slot says where its sequences begin and holds, per sequence, the state to continue from (none: each sequence
// is whole). f(a then b) = f(a), then f(b) with the slot, for every split.
#pragma once
#include <functional>
#include <memory>

#include "ops/kernels/pattern.h"
#include "ops/slot.h"

namespace headrace {

// o = softmax(scale q k^T + ...) v. q [N,H,K], k [N,Hkv,K], v [N,Hkv,V] -> [N,H,V]; query head h reads key head h / (H/Hkv).
// Vaswani et al. 2017; Shazeer 2019 (MQA), Ainslie et al. 2023 (GQA); state: pages of keys and values. Backward recomputes the
// weights page by page; gradients flow to the keys and values of this call, what a state held before is constant.
struct Attention {
  float scale = 0;                       // 0: 1/sqrt(K)
  float cap = 0;                         // Gemma 2: cap tanh(score / cap); 0: none
  int64_t window = 0;                    // keys visible to a query, itself included; 0: all
  bool causal = true;                    // false needs a slot without state
  int64_t ahead = 0;                     // not causal: keys visible after the query; 0 with window 0: all
  Tensor sinks;                          // [H]: a logit in the denominator only (gpt-oss)
  Tensor slopes;                         // [H]: ALiBi, Press et al. 2021
  Tensor log_gates = {};                 // [N,H]: score += sum of those after j up to i (forgetting attention, Lin et al. 2025)
  Tensor alpha = {};                     // [H]: alpha-entmax instead of softmax (Correia et al. 2019); 1 is softmax, 2 sparsemax
  std::shared_ptr<const Pattern> pattern = {};   // sparse attention; null: all of the window
  Sequences keys = {};                   // not empty: k, v are rows of their own sequences (no state); query t stands at t
};
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Attention& options, const Slot& slot);
struct Attended { Tensor y, lse; };      // lse [N,H]: log of the denominators; results over disjoint keys are merged by it
Attended attention_with_lse(const Tensor& q, const Tensor& k, const Tensor& v, const Attention& options, const Slot& slot);

// S_t = (diag(exp(log_decay_t)) + b_t a_t^T) S_{t-1} + k_t v_t^T;  o_t = scale S_t^T q_t.   state [H,K,V]
struct LinearScan {
  const Tensor& q;                       // [N,Hq,K]
  const Tensor& k;                       // [N,Hk,K]
  const Tensor& v;                       // [N,Hv,V]; H is the most of Hq, Hk, Hv, and each divides it: head h reads h / (H/Hq)
  Tensor log_decay = {};                 // none; constant: [H] or [1,H,K]; else [N,H] or [N,H,K]
  Tensor a = {}, b = {};                 // [N,H,K]: low-rank removal (RWKV-7); a reads the undecayed state
  Tensor beta = {};                      // [N,H]: delta rule after the decay
  Tensor bonus = {};                     // [H,K]: read S_{t-1} and add (q.(bonus*k)) v (RWKV-5, 6)
  float scale = 1;
};
Tensor linear_scan(const LinearScan& args, const Slot& slot);   // [N,H,V]

// Beck et al. 2024 (2405.04517): S as above with decay exp(log_forget) and input exp(input) k v^T, z alike with v = 1;
// o = scale S^T q / (max(|scale z.q|, 1) + eps). Both are kept times e^-m, m the running maximum of the log gates, and the 1 is e^-m then.
// states: memory [H,K,V+1], z its last column; maximum [H]
struct Mlstm {
  const Tensor &q, &k, &v;               // [N,H,K] x2, [N,H,V]
  const Tensor &input, &log_forget;      // [N,H]: logs
  float scale = 1, eps = 1e-6f;
};
Tensor mlstm(const Mlstm& args, const Slot& memory, const Slot& maximum);   // [N,H,V]

// Guo et al. 2025 (2506.04761): o_t = scale sum_l levels_t[l] S_t^(l)T q_t, S^(l) the linear scan over the tokens s with
// bit width of (t XOR s) = l, counted from the sequence's start. state [L-1,H,K,V]: each level's, of its unfinished block.
struct LogLinear {
  const Tensor &q, &k, &v;               // [N,H,K] x2, [N,H,V]
  const Tensor& levels;                  // [N,H,L]: a sequence has at most 2^(L-1) tokens
  Tensor log_decay = {};                 // none, or [N,H]
  Tensor beta = {};                      // [N,H]: delta rule
  float scale = 1;
};
Tensor log_linear(const LogLinear& args, std::span<const int32_t> positions, const Slot& slot);   // [N,H,V]

// h_t = exp(log_decay_t) h_{t-1} + input_t, per channel. input [N,C], log_decay [N,C] or, constant, [C]; state [C]. Griffin's RG-LRU, HGRN.
Tensor diag_scan(const Tensor& log_decay, const Tensor& input, const Slot& slot);
// h_t = factor_t h_{t-1} + input_t with complex numbers: a row is C real parts, then C imaginary ones. input [N,2C], factor [N,2C]
// or, constant, [2C]; state [2,C]. LRU, S4D, S5.
Tensor complex_scan(const Tensor& factor, const Tensor& input, const Slot& slot);
// Mamba (Gu and Dao 2023): h[c,n] = exp(dt[c] A[c,n]) h[c,n] + dt[c] B[n] x[c], y[c] = C.h[c]. x, dt [N,C], A [C,S] (negative),
// B, C [N,S]; B x T x C x S is never stored. state [C,S]
Tensor selective_scan(const Tensor& x, const Tensor& dt, const Tensor& A, const Tensor& B, const Tensor& C, const Slot& slot);
// RWKV-4 (Peng et al. 2023): weighted means of v with weights exp(k), decay exp(w) (w [C] negative), bonus u [C]; state [3,C]
Tensor rwkv4_scan(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v, const Slot& slot);

// Cells whose next state takes a product with the hidden state, so tokens follow one another. x [N,G*C]: what the input gives to the
// G gates (its product, outside); recurrent [G*C,C/H]: rows of a gate and head read that head's h; bias [G*C] or none -> h [N,C].
// lstm (Hochreiter and Schmidhuber 1997): gates i, f, g, o; state h, c [2,C]. gru (Cho et al. 2014, reset after the product): r, z, n;
// state [1,C]. slstm (Beck et al. 2024, exponential input gate, running maximum m): i, f, z, o; state h, c, n, m [4,C].
Tensor lstm_scan(const Tensor& x, const Tensor& recurrent, const Tensor& bias, const Slot& slot);
Tensor gru_scan(const Tensor& x, const Tensor& recurrent, const Tensor& bias, const Slot& slot);
Tensor slstm_scan(const Tensor& x, const Tensor& recurrent, const Tensor& bias, const Slot& slot);

// A memory that is trained while it reads (Titans, Behrouz et al. 2025, 2501.00663; test-time training, Sun et al. 2024): a network by
// head, net(x; M) = its matrices with gelu between, or, with `norm`, x + layer_norm(that) (1 + gamma). M begins as `initial`.
//   G += rate_t c(g), g = grad 1/2 |net(k_t; B) - v_t|^2;  at a chunk's end S = eta S - G, M = (1 - alpha) M + S, G = 0;  y_t = net(q_t; M)
// B is M at the last end of a batch; c(g) = g, or with `clip` g C / sqrt(C^2 + |g|^2), its norm below C.
// chunk = batch = 1, one matrix: the delta rule with momentum. State [H,(1..4) P + 3], f32.
struct Memory {
  int value;                             // V
  Tensor initial = {};                   // [H,P]: gamma [V] with norm, then the matrices [in,out]; none: zero
  int depth = 1, hidden = 0;             // matrices, and the width between them
  bool norm = false, momentum = true;    // momentum: there is S
  float eps = 1e-5f;                     // of the norm
  int64_t chunk = 1, batch = 1;          // tokens; batch: a multiple of chunk, or 0: B stays the initial memory
  float clip = 0;                        // C, of a token's gradient in all of a head's weights; 0: off
  static bool can_clip(float c) { return c == 0 || (c >= 1e-6f && c <= 1e12f); }         // C^2 is an f32
};
struct MemoryScan {
  const Tensor &q, &k, &v;               // [N,H,K] x2, [N,H,V]
  const Tensor& rate;                    // [N,H]
  Tensor momentum = {}, forget = {};     // [N,H]: eta; alpha, none: 0. Of a chunk: their mean
  bool logits = false;                   // eta and alpha are the sigmoids of those means
};
Tensor memory_scan(const MemoryScan& args, const Memory& memory, const Slot& slot);     // [N,H,V]
Tensor memory_read(const Tensor& q, const Memory& memory, const Slot& slot);            // net(q_t; M) alone; M stays

// Causal depthwise convolution, the last tap meets the current token. x [N,C], weight [C,taps], bias [C] or none; state [taps-1,C]
Tensor short_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, bool silu, const Slot& slot);
Tensor token_shift(const Tensor& x, const Slot& slot);          // the token before, zero at the start; state [1,C]

// A filter without end as a sum of modes by channel: filter_j = Re sum_n residue_n pole_n^j. [2M,C]: real parts, then imaginary ones.
// With column and row a mode gets its share of all: x_t = pole x_{t-1} - column Re(sum row x_{t-1}) + input u_t, y_t = Re sum residue x_t (S4).
struct Modes { Tensor pole, residue; Tensor input = {}, column = {}, row = {}; };
// y_t = sum_j filter_j u_{t-j} + skip u_t by channel: causal convolutions as long as the sequence (S4, H3, Hyena). u [N,C] -> [N,C].
// State [1+2P,C], P the power of two from the taps on: past inputs and the sums that wait for later outputs; a token then costs
// O(log^2 P) on average, never O(P). With modes in place of a filter (S4D, H3; Massaroli et al. 2023) state [2M,C] and O(M) a token; with a
// recurrence too (S4), and nothing ends at the filter's length.
struct LongConv {
  const Tensor& filter;                  // [C,taps], tap j meets the token j before; empty: modes, or later tokens alone
  Tensor skip = {};                      // [C]
  Tensor ahead = {};                     // [C,taps]: tap j meets the token j + 1 after, which needs a slot without state
  Modes modes = {};
  // The filter's recurrence, where its taps are the first of one: made, and run, where there is a state or a sequence longer than the taps.
  std::function<Modes()> recurrence = {};
};
Tensor long_conv(const Tensor& u, const LongConv& options, const Slot& slot);

}  // namespace headrace
