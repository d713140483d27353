// What the operators of run/op_*.cc share: the call with its named tensors, and a family's table of entries.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "nn/config.h"
#include "ops/ops.h"
#include "ops/sequence.h"
#include "ops/tape.h"
#include "run/op.h"

namespace headrace::op {

using Named = std::map<std::string, Tensor>;       // f32, contiguous, on the CPU

// Between inputs and outputs stand recorded ops and views alone: gradients then come from the tape.
struct Call {
  const std::string& name;
  const Named& in;
  const Value& parameters;
  OpForm form;
  Device device;
  int64_t B, T;                                          // of the tensors that run over time; inputs have the entry's shapes
  Named out = {};

  bool has(const char* key) const { return in.contains(key); }
  Tensor raw(const char* key) const { return in.at(key); }   // f32, contiguous, on the CPU
  Tensor first_state() const { return has("h0") ? raw("h0") : Tensor{}; }
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
    expect(!v || (read_value(*v, d) && std::abs(d) <= std::numeric_limits<float>::max()), "op ", name, ": parameter ", key, " = ",
           v ? to_json(*v).substr(0, 80) : "", ", wanted a number");
    return d;
  }
  double positive(const char* key, double otherwise) const {
    const double d = number(key, otherwise);
    expect(static_cast<float>(d) > 0, "op ", name, ": parameter ", key, " = ", d, ", wanted more than 0");
    return d;
  }
  // A parameter that says what the inputs' shapes do.
  void check_says(const char* key, int64_t found) const {
    const Value* v = parameters.find(key);
    int64_t n = 0;
    expect(!v || (read_value(*v, n) && n == found), "op ", name, ": parameter ", key, " = ", v ? to_json(*v).substr(0, 80) : "",
           ", but the inputs are those of ", found);
  }
  // Refuses what is not in 0..1, NaN among it.
  void check_gates(const char* key) const {
    for (const float g : raw(key).floats())
      expect(g >= 0 && g <= 1, "op ", name, ": input ", key, " holds ", g, ", wanted numbers in 0..1");
  }
  // Their log, [B*T,...], for a scan. A gate of 0 forgets all, as 1e-30 does; its slope is that of 1e-30 and not none, so that it has its
  // gradient. In a chunk the decays' gradients have errors of the size of the largest, too much to divide by a small gate: where one is below
  // 1e-3 every form but naive has its gradients by steps.
  Tensor log_gates(const Tensor& f) {
    Tensor raised;
    {
      const PauseTape constants;
      raised = at_least(f, 1e-30f) - f;
    }
    if (Tape::current() && form != OpForm::naive)
      if (const Tensor here = copy_to(f, Device::cpu); *std::ranges::min_element(here.floats()) < 1e-3f) form = OpForm::step;
    return log(f + raised);
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
    Tensor y = copy_to(rows.contiguous() ? rows : concat_rows({rows}), Device::cpu);
    Shape s = y.shape();
    std::vector<int64_t> dims{B, T};
    dims.insert(dims.end(), s.dims().begin() + 1, s.dims().end());
    out[key] = y.view(Shape(dims));
  }

  // f(inputs of some tokens, slot) over all sequences in the form that was asked for. `first`: [B,...] or empty.
  Tensor over_time(const std::vector<Tensor>& x, const std::function<Tensor(const std::vector<Tensor>&, const Slot&)>& f, const Tensor& first = {},
                   bool with_state = true) {
    states.assign(static_cast<size_t>(B), {});
    for (int64_t b = 0; first && b < B; ++b) states[static_cast<size_t>(b)].value = copy_to(first[b], device);
    const bool whole = form == OpForm::naive || form == OpForm::whole || !with_state;
    if (whole) {                                         // one ragged batch
      std::vector<int64_t> offsets;
      for (int64_t b = 0; b <= B; ++b) offsets.push_back(b * T);
      Slot slot{.sequences = {offsets}, .values = {}};
      for (SlotValue& s : states)
        if (with_state) slot.values.push_back(&s);
      return f(x, slot);
    }
    const int64_t piece = form == OpForm::step ? 1 : 64;
    std::vector<Tensor> pieces;
    for (int64_t b = 0; b < B; ++b)
      for (int64_t t = 0; t < T; t += piece) {
        const int64_t n = std::min(piece, T - t);
        const std::vector<int64_t> offsets{0, n};
        std::vector<Tensor> part;
        for (const Tensor& i : x) part.push_back(i.slice(0, b * T + t, n));
        SlotValue* state = &states[static_cast<size_t>(b)];
        pieces.push_back(f(part, {.sequences = {offsets}, .values = {state}}));
      }
    return concat_rows(pieces);
  }
  Tensor state() const {                                 // [B,...] after over_time
    if (states.empty() || !states[0].value) return {};
    std::vector<int64_t> dims{1};
    for (int64_t d : states[0].value.shape().dims()) dims.push_back(d);
    std::vector<Tensor> each;
    for (const SlotValue& s : states) each.push_back(copy_to(s.value.view(Shape(dims)), Device::cpu));
    return concat_rows(each);
  }
  std::vector<SlotValue> states;
};

// All sequences of a call as wholes, none carried on, and where each token stands.
struct Wholes {
  std::vector<int64_t> offsets;
  std::vector<int32_t> positions;
  explicit Wholes(const Call& c) {
    for (int64_t b = 0; b <= c.B; ++b) offsets.push_back(b * c.T);
    for (int64_t i = 0; i < c.B * c.T; ++i) positions.push_back(static_cast<int32_t>(i % c.T));
  }
  Slot slot() const { return {.sequences = {offsets}, .values = {}}; }
};

struct Entry {
  OpInfo info;
  void (*run)(Call&);
};
std::span<const Entry> attention_entries();        // the explicit list of families, one file each
std::span<const Entry> linear_scan_entries();
std::span<const Entry> diag_scan_entries();
std::span<const Entry> conv_entries();
std::span<const Entry> feature_map_entries();
std::span<const Entry> layer_entries();
std::span<const Entry> memory_entries();

}  // namespace headrace::op
