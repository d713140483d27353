// A session: a model, one state, and the tokens it has seen. Changing the tokens reuses the state of the longest prefix
// they share with what was seen: bookmarks (copies of the state, which share memory) lie at turns, and a state made of
// keys and values only can be cut anywhere. So editing the last message pays for the tail, continuing pays for what is new.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nn/decoder.h"
#include "run/sampler.h"
#include "text/tokenizer.h"

namespace headrace {

constexpr int64_t prefill_chunk = 512;

// Feeds tokens in chunks; state.last_logits is set. between(done) is called after each chunk; false stops early.
// Gives the number of tokens fed.
int64_t feed(const Decoder& model, std::span<const int32_t> tokens, State& state, int64_t chunk = prefill_chunk,
             const std::function<bool(int64_t done)>& between = {});
// The state as it was after its first `tokens` tokens or up to a page less, where it can be cut: keys and values that are
// all still there.
std::optional<State> cut(const State& state, int64_t tokens);
void check_tokens(std::span<const int32_t> tokens, int vocab);   // throws Error for an id outside the vocabulary
void check_tokens(std::span<const int64_t> tokens, int vocab);

class Session {
 public:
  explicit Session(const Decoder& model, int64_t chunk = prefill_chunk) : model_(&model), chunk_(chunk) {}

  struct Change {
    int64_t reused = 0, fed = 0;
    bool complete = true;                // false: stopped between chunks; the tokens fed so far stay
    std::string why;                     // why no more was reused: "", "the prompt changed at token 812, nearest bookmark 640"
  };
  // Makes the session hold exactly these tokens (at least one).
  Change become(std::span<const int32_t> tokens, const std::function<bool(int64_t done)>& between = {});
  void push(int32_t token);              // one more
  void mark();                           // a bookmark here
  void reset();
  void adopt(State state, std::vector<int32_t> tokens);   // a loaded state; tokens may be unknown (empty)
  const State& state() const { return state_; }
  const std::vector<int32_t>& tokens() const { return tokens_; }
  std::span<const float> logits() const { return state_.last_logits.floats(); }

 private:
  static constexpr size_t most_bookmarks = 32;
  const Decoder* model_;
  int64_t chunk_;
  State state_;
  std::vector<int32_t> tokens_;          // what state_ has seen
  std::vector<State> bookmarks_;         // ascending by tokens
};

// Holds back what may become a stop string, and drops what follows one.
class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops);
  std::string next(std::string_view text);         // what may be shown
  std::string flush();                             // what was held back after all
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

struct GenerateOptions {
  int64_t tokens = -1;                             // at most; -1: until the model ends (or its context does)
  std::vector<std::string> stop;
  bool ignore_end = false;                         // go on past the model's end tokens
  int64_t context = 0;                             // stop when the session holds this many; 0: no bound
  bool score = false;                              // log-probabilities of the tokens
  size_t top = 0;                                  // alternatives to report for each token
  std::function<void(const std::string& text)> show;   // whole characters as they come
  std::function<bool()> interrupted;
};
struct Generated {
  std::vector<int32_t> tokens;                     // end token included where one ended it
  std::vector<double> log_probabilities;           // where asked
  std::vector<std::vector<Scored>> top;
  std::string text;
  std::string reason;                              // "length", "end", "stop", "interrupted", "context"
  double seconds = 0;
};
// Continues the session. The token that ends an answer is chosen but not fed.
Generated generate(Session& session, const Tokenizer& tokenizer, Sampler& sampler, const GenerateOptions& options);

}  // namespace headrace
