// The contract of cell_scan's kernels: cells whose next state takes a matrix product of the hidden state, so that tokens follow
// one another and all sequences of a ragged batch go through a token together.
#pragma once
#include "ops/slot.h"

namespace headrace {

// lstm (i, f, g, o): c = s(f) c + s(i) tanh(g), h = s(o) tanh(c).                                        states h, c
// gru (r, z, n): h = (1 - s(z)) tanh(n) + s(z) h, where n = x_n + s(r) (W_n h + b_n).                    states h
// slstm (i, f, z, o): m' = max(i, m + log s(f)), c = e^(m + log s(f) - m') c + e^(i - m') tanh(z),
//   n alike with 1 for tanh(z), h = s(o) c / n.                                                          states h, c, n, m
enum class Cell { lstm, gru, slstm };
constexpr int gates_of(Cell c) { return c == Cell::gru ? 3 : 4; }
constexpr int states_of(Cell c) { return c == Cell::lstm ? 2 : c == Cell::gru ? 1 : 4; }
// What backward reads of a token: lstm i f g o c; gru r z n W_n h + b_n; slstm i f z o s(-f) c n, the gates as they are applied.
constexpr int saved_of(Cell c) { return c == Cell::lstm ? 5 : c == Cell::gru ? 4 : 7; }

struct CellScanArgs {
  Cell kind;
  const float* x; int64_t x_stride;                // [N,G,C]: what the input gives to the gates
  const float* recurrent;                          // [G,H,C/H,C/H], out before in: h of a head goes to the gates of that head
  const float* bias;                               // [G,C] or null, added to the product
  int channels, heads;
  float* y;                                        // [N,C]: h
  float* saved;                                    // [N,saved,C] or null
  Sequences sequences;
  float* const* states;                            // [states,C] in place; null: fresh (zero; m: lowest), not kept
};

struct CellScanBackwardArgs {
  Cell kind;
  const float* recurrent;
  int channels, heads;
  const float *saved, *dy;                         // dy [N,C] or null: zero
  const float* y;
  Sequences sequences;
  const float* const* before;                      // the state of each sequence before it; null, or null for one: fresh
  const float* const* d_after;                     // gradients of the states after; null, or null for one: zero
  float* dx;                                       // [N,G,C]
  float* d_product;                                // [N,G,C] gradient of recurrent h + bias; gru alone, else it is dx
  float* const* d_before;                          // null, or null for one: not wanted
};

constexpr float slstm_lowest = -1e38f;             // the running maximum starts below every gate

}  // namespace headrace
