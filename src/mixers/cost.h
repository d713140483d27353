// What a mixer costs, counted on the meta device by the kernels that its own forward asks for (ops/meter.h): no formula beside it could be
// wrong. docs/math has the formulas; tests/cost_test.cc holds the growth that MixerDoc states, and the state, to these numbers.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "mixers/catalogue.h"

namespace headrace {

constexpr int64_t cost_tokens = 1024;    // that tables show: what every mixer takes at its defaults
struct MixerCost {
  int64_t parameters = 0;
  double training = 0;                   // floating-point operations of a sequence of T: what bind derives, forward, backward
  double prefill = 0;                    // forward alone
  double decode = 0;                     // of one token after T others; 0 where the mixer wants whole sequences
  size_t state_bytes = 0;                // of a sequence after T tokens
};
bool decodes(const MixerInfo& mixer);    // by its words: it can go on from a state
MixerCost cost_of(const MixerInfo& mixer, const Place& at, std::span<const Setting> given, int64_t tokens);

// A MixerDoc's order, "O(T d log T + T (block + T/block))", with some letters' values; the others are 1.
double order_at(std::string_view order, const std::map<std::string, double, std::less<>>& letters);

}  // namespace headrace
