// Gradients of a primitive's outputs and last states, through the states that they began with.
#pragma once
#include "ops/tape.h"
#include "primitive_cases.h"

namespace headrace {

// Gradients of <y, dy> + <states after, d_state> in x, w and the states before; without d_states no state is carried.
struct Gradients {
  Tensors y, states, d;
};
inline Gradients gradients(const PrimitiveCase& c, const Tensors& x, const Tensors& w, const std::vector<int64_t>& lengths, const Tensors& before,
                           const Tensor& dy, const Tensors& d_states) {
  Tape tape;
  Tensors inputs = x;
  for (const Tensor& t : w) inputs.push_back(t);
  for (const Tensor& t : before) inputs.push_back(t);
  for (const Tensor& t : inputs) tape.watch(t);
  Ragged r(lengths);
  for (size_t i = 0; i < before.size(); ++i) r.states[i].value = before[i];
  Gradients g;
  g.y = {c.run(x, w, r.slot(!d_states.empty()))};
  tape.seed(g.y[0], dy);
  for (size_t i = 0; i < d_states.size(); ++i) g.states.push_back(r.states[i].value), tape.seed(r.states[i].value, d_states[i]);
  tape.backward();
  for (const Tensor& t : inputs) g.d.push_back(tape.gradient(t));
  return g;
}

// Of 75 tokens given in pieces, each from the state of the one before, on one tape: those of the whole.
inline void expect_flow_between_pieces(const PrimitiveCase& c, const Tensors& x, const Tensors& w, const Tensor& before, const Tensor& dy,
                                       const Tensor& d_state, double tolerance) {
  const Gradients whole = gradients(c, x, w, {75}, {before}, dy, {d_state});
  Tape tape;
  Tensors inputs = x;
  for (const Tensor& t : w) inputs.push_back(t);
  inputs.push_back(before);
  for (const Tensor& t : inputs) tape.watch(t);
  SlotValue state{.value = before};
  int64_t at = 0;
  for (int64_t piece : {1, 40, 16, 18}) {
    const std::vector<int64_t> offsets{0, piece};
    const Tensor y = c.run(rows_of_all(x, at, piece), w, {.sequences = {offsets}, .values = {&state}});
    tape.seed(y, dy.slice(0, at, piece));
    at += piece;
  }
  tape.seed(state.value, d_state);
  tape.backward();
  for (size_t i = 0; i < inputs.size(); ++i) EXPECT_TRUE(close(tape.gradient(inputs[i]), whole.d[i], tolerance)) << "input " << i;
}

}  // namespace headrace
