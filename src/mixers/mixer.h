// What a mixer says of itself, so that it can stand in a blueprint (docs/add-a-mixer.md): a struct with
//
//   static const MixerDoc doc;                       // for `headrace mixers` and `headrace explain`
//   struct Options { ...; void visit(auto& v); };    // nn/options.h. Where it stands comes from place(Place), or, without one, `width`.
//                                                    // bool is_causal() const where it may see later tokens; it carries no state then,
//                                                    // int most_tokens() const where a sequence has a longest length
//   static M bind(const Scope& s, Options o);        // its parameters, each with its published beginning (nn/init.h)
//   Tensor operator()(const Tensor& x, Pass p) const;
//
// and one line in mixers/catalogue.cc.
#pragma once
#include <cmath>

#include "nn/layer.h"
#include "nn/options.h"

namespace headrace {

struct MixerDoc {
  const char* name;                      // in a blueprint
  const char* family;                    // "attention", "linear attention", "recurrence", "state space", "convolution", "memory", "channels"
  const char* title;
  const char* paper;
  const char* equations;                 // lines
  const char* parameters;
  const char* state;                     // floats per sequence and layer
  const char* decode;                    // time of a decoded token
  const char* sequence;                  // time of a sequence of T: training, prefill
  const char* source;                    // under src/
  const char* forms = "whole, chunk, step";
  const char* devices = "cpu, cuda";
};

// Where in a stack a mixer stands: some begin, or even compute, by depth.
struct Place {
  int width = 512;
  int meta = 0;                          // the stack's own tokens before every sequence
  int layer = 0, layers = 1;             // of the stack
  int nth = 0, of = 1;                   // among the mixers of its name
};

// A rope that has a base but no frequencies yet gets theirs: base^(-2i/rotary).
inline void fill_frequencies(Rope& r) {
  for (int i = 0; r.inverse_frequency.size() * 2 < static_cast<size_t>(r.rotary); i += 2)
    r.inverse_frequency.push_back(static_cast<float>(std::pow(r.base, -1.0 * i / r.rotary)));
}

// An Options as a blueprint has it.
template <class M>
std::string blueprint_text(const typename M::Options& o) { return option_text(M::doc.name, o); }

}  // namespace headrace
