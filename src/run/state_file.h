// A state on disk: safetensors, so that any tool can look inside. Tensors: `layers.L.SLOT` (f32 value of a recurrence),
// `layers.L.SLOT.pages` [P, numbers] and `layers.L.SLOT.span` = (tokens, first page kept), `last_logits` [vocab],
// `history` (i64 token ids, where they are known). Metadata: format, model, family, hash, blueprint, tokens, dtype,
// checksum (over all of it), and notes of the program that saved it. Files are hostile: all is checked before it is used.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nn/decoder.h"
#include "nn/state.h"

namespace headrace {

// Which model a state belongs to. The hash covers configuration, names, shapes, dtypes and every weight.
struct ModelIdentity {
  std::string name, family, hash, blueprint;
};

struct SavedState {
  ModelIdentity model;
  State state;
  std::vector<int32_t> history;          // the tokens it has seen; empty where they are not known
  std::map<std::string, std::string> notes;
  std::string checksum;                  // as in the file
};

void save_state(const std::string& path, const State& state, const ModelIdentity& model, std::span<const int32_t> history = {},
                const std::map<std::string, std::string>& notes = {});   // atomic
SavedState read_state(const std::string& path);                          // throws Error; belongs to no model yet
// From memory. Without the checksum's protection (tests), every other check must do.
SavedState read_state(std::span<const std::byte> bytes, const std::string& name, bool verify = true);
// Throws an Error that names both models where they differ, the slot that does not fit, or what one more token misses; moves
// the state to the model's device.
void bind_state(SavedState& saved, const ModelIdentity& model, const Decoder& decoder, const std::string& file);

// What bind_state does with a state of no tokens, whichever model it says: slots of recurrences, in the model's shapes.
void bind_beginning(State& s, const Decoder& decoder, const std::string& file);
inline constexpr const char* tuned_in_note = "tuned_in";                 // the hash of the model that a state of no tokens was tuned in
inline constexpr const char* initial_state_file = "initial.state";       // in a model's folder: what its sequences begin with

std::string hash_text(uint64_t hash);    // 16 hexadecimal digits
uint64_t hash_bytes(const void* data, size_t bytes, uint64_t seed = 0);

struct SlotDifference {
  int layer;
  std::string slot;
  bool equal;                            // bit for bit, all of it
  int64_t compared;                      // numbers held against each other; 0: the slots are too different for that
  double worst, relative;                // of those: largest difference; norm of the difference over the norm of the first;
                                         // infinite where one is no number and the other another
  std::string note;                      // why not all were compared
};
// Of keys and values of different lengths, the pages that are full in both are compared.
// Slots of both, layer by layer; `last_logits` as layer -1, where one has them.
std::vector<SlotDifference> differences(const State& a, const State& b);

}  // namespace headrace
