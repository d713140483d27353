// A conversation: turns, the text that a template makes of them, and a session that has read it. A new turn pays for its
// own tokens; an edit or an undo goes back to a bookmark. Without a template the turns are one running text. A saved one is a
// state with the notes `chat` (JSON: pairs of role and text), `text` (what its tokens spell, where that is known) and
// `before` (how many tokens are no turns'); one without them is what a conversation begins with.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "run/load.h"
#include "run/session.h"

namespace headrace {

struct Turn {
  std::string role, content;             // "system", "user", "assistant"
};
using Render = std::function<std::string(const std::vector<Turn>& turns)>;   // up to where the answer begins
Render template_of(const Loaded& model);   // its chat template; none: an empty function, and turns are one running text

// Notes of a saved conversation whose state then read `prompt` and said more: both belong to its last turn.
void extend_chat(std::map<std::string, std::string>& notes, const Tokenizer& tokenizer, const std::string& prompt, const Generated& said,
                 const std::string& file);

class Conversation {
 public:
  Conversation(const Loaded& model, Render render, std::string system = "");

  // One turn of the user and the answer. Interrupted while reading: the turn is dropped. An error leaves all as it was.
  Generated say(const std::string& content, Sampler& sampler, GenerateOptions options,
                const std::function<void(int64_t done, int64_t all)>& reading = {});   // of the tokens that are new
  bool undo();                           // the last turn and its answer; false when there is none
  void reset();
  void save(const std::string& path) const;
  void load(const std::string& path);
  const std::vector<Turn>& turns() const { return turns_; }
  const Session& session() const { return session_; }
  const Session::Change& last_change() const { return change_; }   // how much of the last prompt was known already

 private:
  struct Mark {
    size_t turns, tokens;
    std::string text;
  };
  Generated answer(const std::string& content, Sampler& sampler, const GenerateOptions& options,
                   const std::function<void(int64_t, int64_t)>& reading);
  std::vector<int32_t> tokens_of(const std::string& prompt) const;
  const Loaded* model_;
  Render render_;
  std::string system_;
  Session session_;
  std::vector<Turn> turns_;
  std::vector<Mark> marks_;              // before each turn of the user
  std::vector<int32_t> before_;          // the tokens before the first turn
  std::string text_;                     // what the session's tokens after those spell; empty: not known exactly
  Session::Change change_;
};

}  // namespace headrace
