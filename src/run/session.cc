// A prompt in chunks, the longest known prefix of new tokens, and text that comes out a token at a time: no half character, no half stop string.
#include "run/session.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace headrace {

int64_t feed(const Decoder& model, std::span<const int32_t> tokens, State& state, int64_t chunk, const std::function<bool(int64_t)>& between) {
  const auto all = static_cast<int64_t>(tokens.size());
  int64_t done = 0;
  while (done < all) {
    const int64_t n = std::min(chunk, all - done);
    Batch batch;
    batch.add(n, &state);
    Tensor h = model.hidden(tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(n)), batch);
    done += n;
    const bool stop = between && !between(done);
    if (done == all || stop) {
      Tensor y = copy_to(model.logits(h.slice(0, n - 1, 1)), Device::cpu);
      state.last_logits = y.view({y.count()});
    }
    if (stop) break;
  }
  return done;
}

std::optional<State> cut(const State& state, int64_t tokens) {
  State s = state;
  if (tokens == state.tokens) return s;
  tokens = tokens / page_tokens * page_tokens;     // whole pages: nothing of what came after stays behind
  if (tokens <= 0 || tokens > state.tokens) return std::nullopt;
  for (State::Layer& l : s.layers)
    for (int i = 0; i < State::slots_per_layer; ++i) {
      SlotValue& v = l.values[i];
      if (l.names[i] == nullptr) continue;
      if (v.value || v.length != state.tokens) return std::nullopt;   // a recurrence has forgotten what it was
      for (const Tensor& p : v.pages)
        if (!p) return std::nullopt;                                  // a window has let early keys go
      v.length = tokens;
      v.pages.resize(static_cast<size_t>(tokens / page_tokens));
    }
  s.tokens = tokens;
  s.last_logits = {};
  return s;
}

void check_tokens(std::span<const int64_t> tokens, int vocab) {
  for (size_t i = 0; i < tokens.size(); ++i)
    expect(tokens[i] >= 0 && tokens[i] < vocab, "token ", i, " is ", tokens[i], ", outside the model's vocabulary of ", vocab);
}
void check_tokens(std::span<const int32_t> tokens, int vocab) {
  for (size_t i = 0; i < tokens.size(); ++i)
    expect(tokens[i] >= 0 && tokens[i] < vocab, "token ", i, " is ", tokens[i], ", outside the model's vocabulary of ", vocab,
           "; the tokenizer belongs to another model");
}

Session::Change Session::become(std::span<const int32_t> tokens, const std::function<bool(int64_t)>& between) {
  expect(!tokens.empty(), "nothing to continue: the prompt has no tokens");
  check_tokens(tokens, model_->vocab);
  const auto all = static_cast<int64_t>(tokens.size());
  const auto shared = static_cast<int64_t>(std::mismatch(tokens_.begin(), tokens_.end(), tokens.begin(), tokens.end()).first - tokens_.begin());
  // The last token is fed again unless its logits are there: they are what comes next.
  State best;
  if (shared == all && shared == state_.tokens && state_.last_logits) return {.reused = all};
  if (shared == state_.tokens && shared < all) {
    best = std::move(state_);
  } else {
    const int64_t want = std::min(shared, all - 1);
    for (const State& b : bookmarks_)
      if (b.tokens <= shared && (b.tokens < all || b.last_logits)) best = b;
    if (auto c = cut(state_, want); c && c->tokens > best.tokens) best = std::move(*c);
  }
  while (!bookmarks_.empty() && bookmarks_.back().tokens > shared) bookmarks_.pop_back();
  Change change{.reused = best.tokens};
  if (change.reused < std::min(shared, all))
    change.why = text("the first ", shared, " tokens are the same; the nearest state kept is after ", change.reused);
  else if (shared < static_cast<int64_t>(tokens_.size()))
    change.why = text("the tokens differ from number ", shared, " on");
  state_ = std::move(best);
  tokens_.assign(tokens.begin(), tokens.begin() + state_.tokens);
  auto rest = tokens.subspan(static_cast<size_t>(state_.tokens));
  if (!rest.empty()) {
    change.fed = feed(*model_, rest, state_, chunk_, between);
    tokens_.insert(tokens_.end(), rest.begin(), rest.begin() + change.fed);
  }
  change.complete = static_cast<int64_t>(tokens_.size()) == all;
  return change;
}

void Session::push(int32_t token) {
  feed(*model_, {&token, 1}, state_);
  tokens_.push_back(token);
}
void Session::mark() {
  if (state_.tokens == 0 || (!bookmarks_.empty() && bookmarks_.back().tokens == state_.tokens)) return;
  bookmarks_.push_back(state_);
  if (bookmarks_.size() > most_bookmarks) bookmarks_.erase(bookmarks_.begin() + 1);   // the first holds the system prompt
}
void Session::reset() { *this = Session(*model_, chunk_); }
void Session::adopt(State state, std::vector<int32_t> tokens) {
  expect(static_cast<int64_t>(tokens.size()) == state.tokens, "a state of ", state.tokens, " tokens with a history of ", tokens.size());
  state_ = std::move(state);
  tokens_ = std::move(tokens);
  bookmarks_.clear();
}

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& s) { return s.empty(); });
}
std::string StopFilter::next(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  size_t found = std::string::npos;
  for (const auto& s : stops_) found = std::min(found, held_.find(s));
  if (found != std::string::npos) {
    stopped_ = true;
    std::string shown = held_.substr(0, found);
    held_.clear();
    return shown;
  }
  size_t keep = 0;                                 // the longest end of the text that begins a stop string
  for (const auto& s : stops_)
    for (size_t n = std::min(s.size() - 1, held_.size()); n > keep; --n)
      if (std::string_view(held_).substr(held_.size() - n) == std::string_view(s).substr(0, n)) {
        keep = n;
        break;
      }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}
std::string StopFilter::flush() {
  std::string rest = stopped_ ? std::string() : std::move(held_);
  held_.clear();
  return rest;
}

Generated generate(Session& session, const Tokenizer& tokenizer, Sampler& sampler, const GenerateOptions& o) {
  const auto begin = std::chrono::steady_clock::now();
  Generated g;
  StreamDecoder characters(tokenizer, {.skip_special = true});
  // What precedes is not shown, but decides whether a first space is text.
  const std::span<const int32_t> before(session.tokens());
  for (int32_t id : before.last(std::min<size_t>(before.size(), 8)))
    if (id < tokenizer.size()) characters.next(id);
  StopFilter filter(o.stop);
  auto show = [&](std::string piece) {
    if (piece.empty()) return;
    g.text += piece;
    if (o.show) o.show(piece);
  };
  const auto ends = tokenizer.end_of_turn();
  while (g.reason.empty()) {
    if (o.tokens >= 0 && static_cast<int64_t>(g.tokens.size()) >= o.tokens) { g.reason = "length"; break; }
    if (o.interrupted && o.interrupted()) { g.reason = "interrupted"; break; }
    if (o.context > 0 && static_cast<int64_t>(session.tokens().size()) >= o.context) { g.reason = "context"; break; }
    const int32_t id = sampler.next(session.logits(), session.tokens());
    g.tokens.push_back(id);
    if (o.score) g.log_probabilities.push_back(log_probability(session.logits(), id));
    if (o.top > 0) g.top.push_back(top_log_probabilities(session.logits(), o.top));
    if (!o.ignore_end && std::find(ends.begin(), ends.end(), id) != ends.end()) { g.reason = "end"; break; }
    show(filter.next(id < tokenizer.size() ? characters.next(id) : std::string()));
    if (filter.stopped()) { g.reason = "stop"; break; }
    if (o.tokens < 0 || static_cast<int64_t>(g.tokens.size()) < o.tokens) session.push(id);
  }
  if (!filter.stopped()) {
    show(filter.next(characters.flush()));
    show(filter.flush());
  }
  g.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return g;
}

}  // namespace headrace
