// One operator by its public name, on tensors from a file: what `headrace op NAME` computes, and what fixtures of reference
// implementations are held against. Names, shapes and parameters are listed by op_infos(). Activations are [B,T,...],
// each of the B sequences on its own; a state may be given (h0, init) and comes back (final_state).
#pragma once
#include <map>
#include <span>
#include <string>

#include "nn/value.h"
#include "ops/sequence.h"

namespace headrace {

struct OpInfo {
  const char* name;
  const char* inputs;                    // "q [B,T,H,K]; ...", optional ones in parentheses
  const char* parameters;                // "scale = K^-1/2"
  const char* outputs;
  const char* definition;
};
std::span<const OpInfo> op_infos();

// naive: the definitions, in double precision. step: token by token. chunk: 64 tokens at a time. whole: all at once.
enum class OpForm { naive, step, chunk, whole };
OpForm op_form_from_name(const std::string& name);   // throws Error

// f32 tensors on the CPU in and out; the device computes.
// Throws Error for an unknown name, missing inputs (all of them), unknown ones, and shapes other than those of the entry.
// Where `in` has d_OUTPUT, gradients of every input come too, as grad.INPUT.
std::map<std::string, Tensor> run_op(const std::string& name, const std::map<std::string, Tensor>& in, const Value& parameters,
                                     OpForm form = OpForm::whole, Device device = Device::cpu);

}  // namespace headrace
