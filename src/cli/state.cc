// headrace state: save, load, fork, info, diff, the same files that `run --state` and the chat's /save and /load use.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "cli/common.h"
#include "cli/tokens.h"
#include "cli/verbs.h"
#include "run/session.h"
#include "run/state_file.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string model, prompt, tokens, out, file, other;
};

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
      const std::string piece = loaded.tokenizer && t.id < loaded.tokenizer->size() ? loaded.tokenizer->piece(t.id) : "";
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

int diff(const Options& o) {
  const SavedState a = read_state(o.file), b = read_state(o.other);
  bool same = a.state.tokens == b.state.tokens && a.model.hash == b.model.hash;
  double worst = 0;
  bool any = false;
  Array list;
  if (!o.common.json && a.model.hash != b.model.hash)
    fmt::print("of different models: {} ({}) and {} ({})\n", a.model.name, a.model.hash, b.model.name, b.model.hash);
  if (!o.common.json && a.state.tokens != b.state.tokens) fmt::print("{} tokens and {}\n", a.state.tokens, b.state.tokens);
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
  if (o.common.json) print_json(Object{{"equal", same}, {"relative", any ? Value(worst) : Value()}, {"slots", list}});
  else if (same) fmt::print("equal, bit for bit\n");
  std::fflush(stdout);
  expect(same, o.file, " and ", o.other, " differ");
  return 0;
}

}  // namespace

void add_state(Command& root) {
  auto o = std::make_shared<Options>();
  Command s = root.verb("state", "save, load, fork, describe and compare states");
  s.about("A state is all that a model carries of a sequence: a file of it continues a text without reading it again.");

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

  Command i = s.verb("info", "describe a saved state");
  i.argument("FILE", o->file, "a saved state");
  o->common.add_json(i);
  i.example("headrace state info story.state", "model, tokens, bytes").action([o] {
    show(read_state(o->file), o->file, o->common);
    return 0;
  });

  Command d = s.verb("diff", "compare two saved states; exit code 1 where they differ");
  d.argument("FILE", o->file, "a saved state").argument("OTHER", o->other, "another");
  o->common.add_json(d);
  d.example("headrace state diff a.state b.state", "slots that differ, layer by layer").action([o] { return diff(*o); });
}

}  // namespace headrace::cli
