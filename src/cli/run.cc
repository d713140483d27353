// headrace run: rows of tokens as a ragged batch, one completion, or the chat, by what was given and whether there is a terminal.
#include <fmt/core.h>
#include <unistd.h>

#include <iostream>
#include <iterator>

#include "base/error.h"
#include "base/file.h"
#include "cli/chat.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/tokens.h"
#include "cli/verbs.h"
#include "io/safetensors.h"
#include "run/conversation.h"
#include "run/session.h"
#include "run/state_file.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string model, prompt, tokens, out, state, system;
  bool with_prompt = false, chat = false, stats = false, ignore_end = false;
  int64_t n = -1, seed = 0, logprobs = -1, context = 0;
  std::vector<std::string> stop;
  SampleOptions sample;
};

// Rows of tokens continued as one ragged batch: int64 `generated` [rows, n].
int continue_rows(const Options& o) {
  const TokenRows in = read_token_rows(o.tokens, "input_ids");
  check_output(o.out, {o.tokens, model_path(o.model)});
  const int64_t n = o.n < 0 ? 128 : o.n, B = in.rows();
  expect(o.context == 0 || in.length() + n <= o.context, o.tokens, ": ", in.length(), " tokens and ", n, " more: wanted at most the ", o.context,
         " of --context");
  Loaded loaded = open(o.model, o.common, true, std::max(o.context, in.length() + n));
  const Decoder& d = loaded.model.decoder;
  tell_beyond_context(loaded, in.length() + n);
  check_positions(loaded, in.length(), n);
  std::vector<State> states(static_cast<size_t>(B));
  std::vector<Sampler> samplers;
  for (int64_t b = 0; b < B; ++b) samplers.emplace_back(o.sample, static_cast<uint64_t>(b));
  std::vector<std::vector<int32_t>> said(static_cast<size_t>(B));
  Progress progress("continue", static_cast<double>(B * (in.length() + n)), "tokens");
  auto told = [&](int64_t done) { return progress.at(static_cast<double>(done)), true; };
  for (int64_t b = 0; b < B; ++b) check_tokens(in.row(b), d.vocab);
  for (int64_t b = 0; b < B; ++b) {
    feed(d, in.row(b), states[b], prefill_chunk, [&](int64_t done) { return told(b * in.length() + done); });
    said[b].assign(in.row(b).begin(), in.row(b).end());
  }
  std::vector<int64_t> generated(static_cast<size_t>(B * n));
  for (int64_t i = 0; i < n; ++i) {
    Batch batch;
    std::vector<int32_t> next;
    for (int64_t b = 0; b < B; ++b) {
      next.push_back(samplers[b].next(states[b].last_logits.floats(), said[b]));
      said[b].push_back(next.back());
      generated[b * n + i] = next.back();
      batch.add(1, &states[b]);
    }
    told(B * (in.length() + i + 1));
    if (i + 1 == n) break;
    Tensor y = copy_to(d.logits(d.hidden(next, batch)), Device::cpu);
    for (int64_t b = 0; b < B; ++b) states[b].last_logits = y[b];
  }
  write_safetensors(o.out, std::vector<NamedTensor>{{"generated", Tensor::from(std::span<const int64_t>(generated), {B, n})}});
  if (o.common.json) print_json(Object{{"out", o.out}, {"shape", Array{B, n}}});
  return 0;
}

// A state that is continued is read before it is replaced, so it may lie in the model's own folder; no other file there is written over.
void check_state_output(const std::string& state, const std::string& model) {
  expect(!same_file(state, model + "/" + initial_state_file), state, ": is what ", model, " begins with; give the state another name");
  bool saved = false;
  if (file_exists(state)) try {
    const SafetensorsFile::Metadata m = SafetensorsFile(state).metadata();
    saved = m.contains("format") && m.at("format").starts_with("headrace-state");
  } catch (const Error&) {}
  if (saved) check_writable(state);
  else check_output(state, {model});
}

int complete(const Options& o, const std::string& prompt) {
  Loaded loaded = open(o.model, o.common, true, o.context);
  expect(loaded.tokenizer.has_value(), loaded.path, ": no tokenizer beside the weights; give --tokens and --out instead of a text");
  catch_interrupts();
  Session session(loaded.model.decoder);
  std::vector<int32_t> ids;
  std::map<std::string, std::string> notes;
  bool resumed = !o.state.empty() && file_exists(o.state);
  if (resumed) {
    SavedState s = read_state(o.state);
    bind_state(s, identity(loaded), loaded.model.decoder, o.state);
    resumed = s.state.tokens > 0;                            // of none: what was trained for texts to begin with
    expect(static_cast<int64_t>(s.history.size()) == s.state.tokens && (!resumed || s.state.last_logits), o.state,
           ": has no tokens or logits to continue from");
    ids = s.history, notes = std::move(s.notes);
    session.adopt(std::move(s.state), std::move(s.history));
  }
  for (int id : loaded.tokenizer->encode(prompt, {.add_special = !resumed}))
    if (!resumed || !prompt.empty()) ids.push_back(id);
  const auto prompt_tokens = static_cast<int64_t>(ids.size());
  expect(o.context == 0 || prompt_tokens <= o.context, "the text has ", prompt_tokens, " tokens and may grow to ", o.context,
         ": give more as --context");
  tell_beyond_context(loaded, prompt_tokens);
  Clock clock;
  {
    Progress progress("reading the prompt", static_cast<double>(ids.size() - session.tokens().size()), "tokens");
    const Session::Change read = session.become(ids, [&](int64_t done) {
      progress.at(static_cast<double>(done));
      return !interrupted();
    });
    expect(read.complete, "interrupted", o.state.empty() ? "" : "; the state is not saved: it has not read all of the prompt");
  }
  const double prefill = clock.seconds();
  Sampler sampler(o.sample);
  GenerateOptions g{.tokens = o.n < 0 ? 128 : o.n, .stop = o.stop, .ignore_end = o.ignore_end, .context = bound(loaded, o.context),
                    .score = o.logprobs >= 0, .top = static_cast<size_t>(std::max<int64_t>(o.logprobs, 0)), .interrupted = interrupted};
  if (!o.common.json)
    g.show = [](const std::string& s) {
      fmt::print("{}", s);
      std::fflush(stdout);
    };
  Generated a = generate(session, *loaded.tokenizer, sampler, g);
  if (o.common.json) {
    Array alternatives;
    for (const auto& at : a.top) {
      Array list;
      for (const Scored& s : at) list.push_back(Object{{"token", s.id}, {"text", loaded.piece(s.id)}, {"logprob", s.log_probability}});
      alternatives.push_back(list);
    }
    Object j{{"text", a.text}, {"tokens", numbers(a.tokens)}, {"reason", a.reason}, {"prompt_tokens", prompt_tokens},
             {"prefill_seconds", prefill}, {"decode_seconds", a.seconds}, {"seed", o.seed}};
    if (o.logprobs >= 0) j["logprobs"] = numbers(a.log_probabilities);
    if (o.logprobs > 0) j["top_logprobs"] = alternatives;
    print_json(j);
  } else if (on_terminal(stdout)) {
    fmt::print("\n");
  }
  if (prompt_tokens <= loaded.model.context) tell_beyond_context(loaded, static_cast<int64_t>(session.tokens().size()));
  if (a.text.empty() && a.reason == "end" && !loaded.chat_template.empty())
    fmt::print(stderr, "{}: ended before its first word; it was made for turns: --chat\n", loaded.name);
  if (a.reason == "context" && g.context != o.context)
    fmt::print(stderr, "{}: ended by the last of its {} learned positions\n", loaded.name, g.context);
  if (o.stats)
    fmt::print(stderr, "{} prompt tokens in {:.2f} s ({:.1f}/s), {} tokens in {:.2f} s ({:.1f}/s), ended by {}\n", ids.size(), prefill,
               static_cast<double>(ids.size()) / prefill, a.tokens.size(), a.seconds, static_cast<double>(a.tokens.size()) / a.seconds, a.reason);
  if (!o.state.empty()) {
    // The last token was said but not yet read; the state that is saved has seen all of the text.
    if ((a.reason == "length" || a.reason == "stop") && !a.tokens.empty()) session.push(a.tokens.back());
    extend_chat(notes, *loaded.tokenizer, prompt, a, o.state);
    save_state(o.state, session.state(), identity(loaded), session.tokens(), notes);
  }
  expect(a.reason != "interrupted", "interrupted");
  return 0;
}

int act(const Options& given, const Command& c) {
  Options o = given;
  o.sample.seed = static_cast<uint64_t>(o.seed);
  o.with_prompt = c.given("--prompt");
  try {
    check(o.sample);
  } catch (const Error& e) {
    return usage(c, e.what());
  }
  if (o.tokens.empty() != o.out.empty()) return usage(c, "--tokens and --out go together");
  if (!o.tokens.empty() && (o.with_prompt || o.chat || !o.state.empty())) return usage(c, "--tokens stands in place of --prompt, --chat and --state");
  if (!o.tokens.empty() && (!o.stop.empty() || o.ignore_end || o.stats || c.given("--system")))
    return usage(c, "--stop, --ignore-end, --stats and --system are for texts, not for --tokens");
  const bool chats = o.chat || (o.tokens.empty() && !o.with_prompt && on_terminal(stdin) && on_terminal(stdout));
  if (o.logprobs >= 0 && (!o.common.json || chats || !o.tokens.empty())) return usage(c, "--logprobs is for a completion with --json");
  if (!o.state.empty()) check_state_output(o.state, model_path(o.model));
  if (!o.tokens.empty()) return continue_rows(o);
  if (chats) {
    ChatOptions chat_options{.context = o.context, .system = o.system, .state = o.state,
                             .only = o.with_prompt ? std::optional(o.prompt) : std::nullopt, .sample = o.sample,
                             .generate = {.tokens = o.n, .stop = o.stop, .ignore_end = o.ignore_end}, .json = o.common.json, .stats = o.stats};
    return chat(open(o.model, o.common, true, o.context), std::move(chat_options));
  }
  if (o.with_prompt) return complete(o, o.prompt);
  std::string all{std::istreambuf_iterator<char>(std::cin), {}};
  while (all.ends_with('\n')) all.pop_back();
  return complete(o, all);
}

}  // namespace

void add_run(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("run", "complete a prompt, or chat on a terminal");
  c.argument("MODEL", o->model, model_help, false);
  c.option("-p,--prompt", o->prompt, "TEXT", "continue this text; only the continuation goes to stdout");
  c.option("-n,--count", o->n, "N", "tokens at most; -1: 128 for a completion, until the model ends in a chat").range("-n", -1, 1 << 30);
  c.option("--context", o->context, "N", "tokens that the text may grow to. 0: no bound for a completion, what the model was made for in a chat. "
           "Phi's longrope turns positions otherwise where they are more than it was first trained on").range("--context", 0, 1 << 30);
  c.option("--temp", o->sample.temperature, "X", "temperature; 0: always the likeliest token");
  c.option("--top-k", o->sample.top_k, "N", "only the N likeliest tokens; 0: all");
  c.option("--top-p", o->sample.top_p, "X", "only the likeliest tokens that together have this probability");
  c.option("--min-p", o->sample.min_p, "X", "only tokens with this share of the likeliest token's probability");
  c.option("--repeat-penalty", o->sample.repetition, "X", "divides the logits of tokens that were said; 1: none");
  c.option("--presence-penalty", o->sample.presence, "X", "subtracted from the logits of tokens that were said");
  c.option("--penalty-window", o->sample.penalty_window, "N", "tokens back that count as said; 0: all");
  c.option("--seed", o->seed, "S", "the same seed gives the same text; each row of --tokens draws numbers of its own");
  c.option("--stop", o->stop, "TEXT", "end before this text; may be given several times");
  c.flag("--ignore-end", o->ignore_end, "go on past the model's end token");
  c.flag("--chat", o->chat, "the text is a turn of a conversation; in a pipe, each line is one");
  c.option("--system", o->system, "TEXT", "in a chat: what the model is told first");
  c.option("--logprobs", o->logprobs, "N", "with --json: log-probability of each token and of N alternatives").range("--logprobs", -1, 100);
  c.flag("--stats", o->stats, "a line about speed on stderr");
  c.option("--tokens", o->tokens, "FILE", "continue int64 input_ids [T] or [B,T] of a safetensors file");
  c.option("--out", o->out, "FILE", "with --tokens: safetensors to write, int64 generated [B,N]");
  c.option("--state", o->state, "FILE", "continue from this saved state where it exists, and save the state at the end");
  o->common.add(c);
  c.example("headrace run MODEL -p 'Once upon a time' -n 64 --temp 0", "the likeliest continuation")
      .example("headrace run MODEL < prompt.txt", "continues a text from a pipe")
      .example("headrace run MODEL", "chats on a terminal; /help there lists what it can do");
  c.action([o, c] { return act(*o, c); });
}

}  // namespace headrace::cli
