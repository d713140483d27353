// headrace state: save, load, fork, mark, rollback, info, diff, on the same files that `run --state` and the chat's /save and /load use.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/common.h"
#include "cli/tokens.h"
#include "cli/verbs.h"
#include "io/safetensors.h"
#include "run/session.h"
#include "run/state_file.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string model, prompt, tokens, out, file, other, name;
};

// A mark is a copy of the state beside it, FILE.NAME.mark: a recurrent state cannot be cut back to what it was, and a state of
// its own can be loaded, compared and continued.
constexpr std::string_view mark_ending = ".mark";
std::string mark_path(const std::string& file, const std::string& name) {
  expect(!name.empty() && std::ranges::all_of(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; }),
         "the name of a mark: wanted letters, digits, - and _, found ", to_json(name));
  return file + "." + name + std::string(mark_ending);
}
struct StateMark {
  std::string name, file;
  int64_t tokens;
};
std::vector<StateMark> marks_of(const std::string& file) {
  namespace fs = std::filesystem;
  const fs::path path = file;
  const std::string begin = path.filename().string() + ".";
  std::vector<StateMark> marks;
  std::error_code none;
  for (const auto& e : fs::directory_iterator(path.has_parent_path() ? path.parent_path() : fs::path("."), none)) {
    const std::string name = e.path().filename().string();
    if (!name.starts_with(begin) || !name.ends_with(mark_ending) || name.size() <= begin.size() + mark_ending.size()) continue;
    const std::string middle = name.substr(begin.size(), name.size() - begin.size() - mark_ending.size());
    if (middle.find('.') != std::string::npos) continue;       // of another file, whose name begins with this one's
    const std::string whole = (path.parent_path() / name).string();
    const auto notes = SafetensorsFile(whole).metadata();
    marks.push_back({middle, whole, notes.contains("tokens") ? std::strtoll(notes.at("tokens").c_str(), nullptr, 10) : 0});
  }
  std::ranges::sort(marks, {}, &StateMark::name);
  return marks;
}

Value described(const SavedState& s, const std::string& file) {
  return Object{{"file", file}, {"model", s.model.name}, {"family", s.model.family}, {"hash", s.model.hash}, {"blueprint", s.model.blueprint},
                {"tokens", s.state.tokens}, {"bytes", static_cast<int64_t>(s.state.bytes())}, {"layers", static_cast<int64_t>(s.state.layers.size())},
                {"history", !s.history.empty()}, {"logits", static_cast<bool>(s.state.last_logits)}, {"checksum", s.checksum}};
}
void show(const SavedState& s, const std::string& file, const Common& common) {
  if (common.json) return print_json(described(s, file));
  fmt::print("{}: {} tokens of {} ({}), {} in {} layers\n", bold(file), s.state.tokens, s.model.name, s.model.family,
             bytes_text(static_cast<double>(s.state.bytes())), s.state.layers.size());
  fmt::print("hash {}   checksum {}   {}\n{}\n", s.model.hash, s.checksum, s.history.empty() ? "without its tokens" : "with its tokens",
      s.model.blueprint);
}

int save(const Options& o, bool with_prompt) {
  check_output(o.out, {o.tokens, model_path(o.model)});
  Loaded loaded = open(o.model, o.common);
  std::vector<int32_t> ids;
  if (with_prompt) {
    expect(loaded.tokenizer.has_value(), loaded.path, ": no tokenizer beside the weights; give --tokens instead of a text");
    ids = loaded.tokenizer->encode(o.prompt);
  } else {
    const TokenRows in = read_token_rows(o.tokens, "input_ids");
    expect(in.rows() == 1, o.tokens, ": input_ids: wanted one row, found ", in.rows());
    ids.assign(in.row(0).begin(), in.row(0).end());
  }
  expect(!ids.empty(), "nothing to save: the prompt has no tokens");
  check_tokens(ids, loaded.model.decoder.vocab);
  tell_beyond_context(loaded, static_cast<int64_t>(ids.size()));
  SavedState s{.model = identity(loaded)};
  {
    Progress progress("reading", static_cast<double>(ids.size()), "tokens");
    feed(loaded.model.decoder, ids, s.state, prefill_chunk, [&](int64_t done) { return progress.at(static_cast<double>(done)), true; });
  }
  save_state(o.out, s.state, s.model, ids);
  show(read_state(o.out), o.out, o.common);
  return 0;
}

int load(const Options& o) {
  SavedState s = read_state(o.file);
  Loaded loaded = open(o.model, o.common);
  bind_state(s, identity(loaded), loaded.model.decoder, o.file);
  Object j = *described(s, o.file).get<Object>();
  Array next;
  if (!o.common.json) show(s, o.file, o.common);
  if (s.state.last_logits)
    for (const Scored& t : top_log_probabilities(s.state.last_logits.floats(), 5)) {
      const std::string piece = loaded.piece(t.id);
      next.push_back(Object{{"token", t.id}, {"text", piece}, {"logprob", t.log_probability}});
      if (!o.common.json) fmt::print("next {:6} {:8.4f}  {}\n", t.id, std::exp(t.log_probability), to_json(piece));
    }
  j["next"] = next;
  if (o.common.json) print_json(j);
  return 0;
}

int fork(const Options& o) {
  check_output(o.other, {o.file});
  const SavedState s = read_state(o.file);
  save_state(o.other, s.state, s.model, s.history, s.notes);
  show(s, o.other, o.common);
  return 0;
}

int info(const Options& o) {
  const SavedState s = read_state(o.file);
  const std::vector<StateMark> marks = marks_of(o.file);
  if (o.common.json) {
    Object j = *described(s, o.file).get<Object>();
    Array list;
    for (const StateMark& m : marks) list.push_back(Object{{"name", m.name}, {"tokens", m.tokens}, {"file", m.file}});
    j["marks"] = list;
    print_json(j);
    return 0;
  }
  show(s, o.file, o.common);
  for (const StateMark& m : marks) fmt::print("mark {} after {} tokens   {}\n", bold(m.name), m.tokens, m.file);
  return 0;
}

int mark(const Options& o) {
  const std::string kept = mark_path(o.file, o.name);
  expect(!file_exists(kept), kept, ": there is a mark of this name; choose another, or remove that file");
  const SavedState s = read_state(o.file);
  save_state(kept, s.state, s.model, s.history, s.notes);
  show(s, kept, o.common);
  return 0;
}

int rollback(const Options& o) {
  const std::string kept = mark_path(o.file, o.name);
  if (!file_exists(kept)) {
    std::string names;
    for (const StateMark& m : marks_of(o.file)) names += (names.empty() ? "" : ", ") + m.name;
    fail(o.file, ": no mark ", o.name, names.empty() ? "; headrace state mark makes one" : "; there are: " + names);
  }
  const SavedState s = read_state(kept);
  if (file_exists(o.file)) {
    const SavedState now = read_state(o.file);
    expect(now.model.hash == s.model.hash, o.file, ": a state of ", now.model.name, " (hash ", now.model.hash, "), its mark ", o.name, " one of ",
           s.model.name, " (hash ", s.model.hash, ")");
  }
  save_state(o.file, s.state, s.model, s.history, s.notes);
  show(s, o.file, o.common);
  return 0;
}

int diff(const Options& o) {
  const SavedState a = read_state(o.file), b = read_state(o.other);
  const bool known = !a.history.empty() && !b.history.empty();
  const auto first = std::ranges::mismatch(a.history, b.history).in1 - a.history.begin();    // the first token that differs
  bool same = a.state.tokens == b.state.tokens && a.model.hash == b.model.hash && a.history == b.history;
  double worst = 0;
  bool any = false;
  Array list;
  if (!o.common.json && a.model.hash != b.model.hash)
    fmt::print("of different models: {} ({}) and {} ({})\n", a.model.name, a.model.hash, b.model.name, b.model.hash);
  if (!o.common.json && a.state.tokens != b.state.tokens) fmt::print("{} tokens and {}\n", a.state.tokens, b.state.tokens);
  if (!o.common.json && a.history != b.history)
    fmt::print("{}\n", known ? fmt::format("their tokens differ from number {} on", first) : "only one of them has its tokens");
  for (const SlotDifference& d : differences(a.state, b.state)) {
    same = same && d.equal;
    const bool compared = d.compared > 0;
    any = any || compared;
    worst = std::max(worst, d.relative);
    list.push_back(Object{{"layer", d.layer}, {"slot", d.slot}, {"equal", d.equal}, {"compared", d.compared},
        {"worst", compared ? Value(d.worst) : Value()}, {"relative", compared ? Value(d.relative) : Value()}, {"note", d.note}});
    if (o.common.json || d.equal) continue;
    const std::string figures = compared ? fmt::format("worst {:.3e}  relative {:.3e}", d.worst, d.relative) : "not compared";
    fmt::print("{:>10} {:12} {}  {}\n", d.layer < 0 ? "" : fmt::format("layer {}", d.layer), d.slot, figures, d.note);
  }
  if (o.common.json) print_json(Object{{"equal", same}, {"relative", any ? Value(worst) : Value()}, {"slots", list},
      {"history", Object{{"equal", a.history == b.history},
                         {"differs_from", known && a.history != b.history ? Value(static_cast<int64_t>(first)) : Value()}}}});
  else if (same) fmt::print("equal, bit for bit\n");
  std::fflush(stdout);
  expect(same, o.file, " and ", o.other, " differ");
  return 0;
}

}  // namespace

void add_state(Command& root) {
  auto o = std::make_shared<Options>();
  Command s = root.verb("state", "save, load, fork, mark, roll back, describe and compare states");
  s.about("A state is all that a model carries of a sequence: a file of it continues a text without reading it again.");
  s.example("headrace state save MODEL -p 'Once upon a time' --out story.state", "reads a text once; headrace run MODEL --state story.state goes on")
      .example("headrace state mark story.state begin", "remembers where it is; headrace state rollback story.state begin goes back there")
      .example("headrace state diff story.state story.state.begin.mark", "what has changed since");

  Command c = s.verb("save", "read a prompt and save the state after it");
  c.argument("MODEL", o->model, model_help, false);
  c.option("-p,--prompt", o->prompt, "TEXT", "the text to read");
  c.option("--tokens", o->tokens, "FILE", "safetensors with int64 input_ids [T] instead of a text");
  c.option("--out", o->out, "FILE", "safetensors to write").required("--out");
  o->common.add(c);
  c.example("headrace state save MODEL -p 'Once upon a time' --out story.state", "continue with: headrace run MODEL --state story.state");
  c.action([o, c] {
    if (c.given("--prompt") == c.given("--tokens")) return usage(c, "wanted one of --prompt and --tokens");
    return save(*o, c.given("--prompt"));
  });

  Command l = s.verb("load", "load a state into a model, and show what comes next");
  l.argument("MODEL", o->model, model_help).argument("FILE", o->file, "a saved state");
  o->common.add(l);
  l.example("headrace state load MODEL story.state", "fails where the state belongs to another model").action([o] { return load(*o); });

  Command f = s.verb("fork", "copy a state, checked");
  f.argument("FILE", o->file, "a saved state").argument("OUT", o->other, "the copy to write");
  o->common.add_json(f);
  f.example("headrace state fork story.state other.state", "two ways to go on").action([o] { return fork(*o); });

  Command m = s.verb("mark", "remember a state under a name");
  m.about("The mark is a whole state of its own beside the file, FILE.NAME.mark, for a recurrence cannot be taken back token by token. "
          "run --state FILE goes on from the file and leaves its marks; removing a mark's file takes it away.");
  m.argument("FILE", o->file, "a saved state").argument("NAME", o->name, "letters, digits, - and _");
  o->common.add_json(m);
  m.example("headrace state mark story.state begin", "before headrace run MODEL --state story.state tries something").action([o] {
    return mark(*o);
  });

  Command r = s.verb("rollback", "put back a state as it was at a mark");
  r.about("What came after the mark is gone, unless it has a mark of its own. The mark stays.");
  r.argument("FILE", o->file, "a saved state").argument("NAME", o->name, "one of its marks; headrace state info FILE lists them");
  o->common.add_json(r);
  r.example("headrace state rollback story.state begin", "then headrace run MODEL --state story.state goes another way").action([o] {
    return rollback(*o);
  });

  Command i = s.verb("info", "describe a saved state");
  i.argument("FILE", o->file, "a saved state");
  o->common.add_json(i);
  i.example("headrace state info story.state", "model, tokens, bytes, marks").action([o] { return info(*o); });

  Command d = s.verb("diff", "compare two saved states; exit code 1 where they differ");
  d.argument("FILE", o->file, "a saved state").argument("OTHER", o->other, "another");
  o->common.add_json(d);
  d.example("headrace state diff a.state b.state", "slots that differ, layer by layer").action([o] { return diff(*o); });
}

}  // namespace headrace::cli
