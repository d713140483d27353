// The text of all turns is made again each time, since a template may look at any of them; the session finds what of it is new.
#include "run/conversation.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "io/bytes.h"
#include "text/chat.h"
#include "text/unicode.h"

namespace headrace {

Render template_of(const Loaded& model) {
  if (!model.tokenizer) return {};
  const Tokenizer t = *model.tokenizer;
  const std::string source = model.chat_template.empty() ? chat_template_of(t) : model.chat_template;
  if (source.empty()) return {};
  return [t, chat = ChatTemplate(source, model.path + ": chat template")](const std::vector<Turn>& turns) {
    std::vector<Message> messages;
    for (const Turn& turn : turns) messages.push_back({turn.role, turn.content, ""});
    return chat.render(messages,
        {.bos = t.bos() ? t.piece(*t.bos()) : "", .eos = t.eos() ? t.piece(*t.eos()) : "", .add_generation_prompt = true}).text;
  };
}

namespace {
std::vector<Turn> turns_of(const std::map<std::string, std::string>& notes, const std::string& file) {
  const Value v = parse_json(notes.at("chat"), file);
  const Array* all = v.get<Array>();
  expect(all, file, ": chat: wanted a list of turns");
  std::vector<Turn> turns;
  for (const Value& t : *all) {
    const Array* pair = t.get<Array>();
    expect(pair && pair->size() == 2 && (*pair)[0].get<std::string>() && (*pair)[1].get<std::string>(), file,
        ": chat: wanted pairs of role and text");
    turns.push_back({*(*pair)[0].get<std::string>(), *(*pair)[1].get<std::string>()});
  }
  return turns;
}
std::string json_of(const std::vector<Turn>& turns) {
  Array list;
  for (const Turn& t : turns) list.push_back(Array{t.role, t.content});
  return to_json(list);
}
// Text without control tokens: the tokenizer's text of these is all that they are.
bool plain(const Tokenizer& t, std::span<const int32_t> ids) {
  return std::ranges::none_of(ids, [&](int32_t id) { return id >= t.size() || t.is_special(id); });
}
}  // namespace

void extend_chat(std::map<std::string, std::string>& notes, const Tokenizer& tokenizer, const std::string& prompt, const Generated& said,
                 const std::string& file) {
  if (!notes.contains("chat")) return;
  std::vector<Turn> turns = turns_of(notes, file);
  const std::string more = replace_broken(prompt) + said.text;
  if (turns.empty() || turns.back().role == "system") {    // nothing was said: it is what a chat begins with
    for (const char* note : {"chat", "text", "before"}) notes.erase(note);
    return;
  }
  turns.back().content += more;
  notes["chat"] = json_of(turns);
  std::string& text = notes["text"];
  const size_t read = said.tokens.size() - (said.reason == "end" ? 1 : 0);
  const bool exact = !text.empty() && said.reason != "stop" && replace_broken(prompt) == prompt
                     && plain(tokenizer, std::span(said.tokens).first(read));
  text = exact ? text + more : "";
}

Conversation::Conversation(const Loaded& model, Render render, std::string system)
    : model_(&model), render_(std::move(render)), system_(replace_broken(system)), session_(model.model.decoder) {
  expect(model.tokenizer.has_value(), model.path, ": no tokenizer beside the weights, so it cannot chat");
  if (!render_)
    render_ = [](const std::vector<Turn>& turns) {
      std::string all;
      for (const Turn& t : turns) all += (t.role == "user" && !all.empty() && all.back() != '\n' ? "\n" : "") + t.content;
      return all;
    };
  reset();
}

void Conversation::reset() {
  turns_.clear(), marks_.clear(), before_.clear(), text_.clear();
  session_.reset();
  if (!system_.empty()) turns_.push_back({"system", system_});
}

std::vector<int32_t> Conversation::tokens_of(const std::string& prompt) const {
  const Tokenizer& t = *model_->tokenizer;
  if (!text_.empty() && prompt.starts_with(text_)) {       // what was said stays as it was said, token by token
    std::vector<int32_t> ids = session_.tokens();
    for (int id : t.encode(std::string_view(prompt).substr(text_.size()), {.add_special = false})) ids.push_back(id);
    return ids;
  }
  const std::string begin = t.bos() ? t.piece(*t.bos()) : "";
  const bool has_begin = !begin.empty() && prompt.starts_with(begin), first = before_.empty();   // a sequence begins once
  std::vector<int32_t> ids = before_;
  for (int id : t.encode(std::string_view(prompt).substr(has_begin && !first ? begin.size() : 0), {.add_special = first && !has_begin}))
    ids.push_back(id);
  return ids;
}

Generated Conversation::say(const std::string& content, Sampler& sampler, GenerateOptions o,
                            const std::function<void(int64_t, int64_t)>& reading) {
  Conversation before = *this;                             // states share their memory
  try {
    return answer(content, sampler, o, reading);
  } catch (...) {
    *this = std::move(before);
    throw;
  }
}

Generated Conversation::answer(const std::string& content, Sampler& sampler, const GenerateOptions& o,
                               const std::function<void(int64_t, int64_t)>& reading) {
  marks_.push_back({turns_.size(), session_.tokens().size(), text_});
  turns_.push_back({"user", replace_broken(content)});     // what is kept of a turn must be text: templates and files need it
  const std::string prompt = replace_broken(render_(turns_));
  const std::vector<int32_t> ids = tokens_of(prompt);
  if (o.context > 0)
    expect(static_cast<int64_t>(ids.size()) < o.context, "the conversation has ", ids.size(), " tokens and may have ", o.context,
        "; /undo or /reset");
  change_ = session_.become(ids, [&](int64_t done) {
    if (reading) reading(done, static_cast<int64_t>(ids.size() - session_.tokens().size()));   // those are what was known
    return !(o.interrupted && o.interrupted());
  });
  if (!change_.complete) {
    turns_.resize(marks_.back().turns);
    marks_.pop_back();
    text_.clear();                                         // the session holds part of the turn
    Generated g;
    g.reason = "interrupted";
    return g;
  }
  Generated g = generate(session_, *model_->tokenizer, sampler, o);
  if (g.reason == "length" && !g.tokens.empty()) session_.push(g.tokens.back());
  session_.mark();
  turns_.push_back({"assistant", g.text});
  const size_t said = g.reason == "end" ? g.tokens.size() - 1 : g.tokens.size();
  const bool exact = g.reason != "stop" && plain(*model_->tokenizer, std::span(g.tokens).first(said));
  text_ = exact ? prompt + g.text : "";                    // at a stop string the session knows more than was shown
  return g;
}

bool Conversation::undo() {
  if (marks_.empty()) return false;
  Mark m = std::move(marks_.back());
  marks_.pop_back();
  turns_.resize(m.turns);
  if (m.tokens == 0) {
    session_.reset();
  } else if (m.tokens <= session_.tokens().size()) {
    const std::vector<int32_t> tokens(session_.tokens().begin(), session_.tokens().begin() + static_cast<std::ptrdiff_t>(m.tokens));
    change_ = session_.become(tokens);
  } else {
    m.text.clear();
  }
  text_ = std::move(m.text);
  return true;
}

void Conversation::save(const std::string& path) const {
  expect(session_.state().tokens > 0, path, ": nothing was said yet, so there is nothing to save");
  save_state(path, session_.state(), identity(*model_), session_.tokens(),
             {{"chat", json_of(turns_)}, {"text", text_}, {"before", text(before_.size())}});
}

void Conversation::load(const std::string& path) {
  SavedState s = read_state(path);
  bind_state(s, identity(*model_), model_->model.decoder, path);
  expect(static_cast<int64_t>(s.history.size()) == s.state.tokens && s.state.tokens > 0, path, ": wanted the tokens beside the state, not found");
  const bool chat = s.notes.contains("chat");
  std::vector<Turn> turns = chat ? turns_of(s.notes, path) : std::vector<Turn>{};
  size_t before = chat ? 0 : s.history.size();     // what no chat has saved is what this one begins with
  if (auto it = s.notes.find("before"); chat && it != s.notes.end()) {
    const auto [end, error] = std::from_chars(it->second.data(), it->second.data() + it->second.size(), before);
    expect(error == std::errc() && end == it->second.data() + it->second.size() && before <= s.history.size(), path,
           ": before: wanted a number of its ", s.history.size(), " tokens, found ", shown(it->second));
  }
  reset();
  if (!turns.empty()) turns_ = std::move(turns);
  before_.assign(s.history.begin(), s.history.begin() + static_cast<std::ptrdiff_t>(before));
  if (auto it = s.notes.find("text"); chat && it != s.notes.end()) text_ = it->second;
  session_.adopt(std::move(s.state), std::move(s.history));
  session_.mark();
}

}  // namespace headrace
