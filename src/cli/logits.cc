// headrace logits: tokens from a file scored whole, in chunks, token by token, or by the definitions, so that any two can be compared.
#include <algorithm>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "cli/common.h"
#include "ops/kernels.h"
#include "cli/tokens.h"
#include "cli/verbs.h"
#include "io/safetensors.h"
#include "run/session.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string model, tokens, out, form = "whole";
  int64_t chunk = 32;
  bool naive = false;
};

int act(const Options& o) {
  const TokenRows in = read_token_rows(o.tokens, "input_ids");
  if (o.naive && o.common.device != "cpu") fail("--naive: the definitions run on the cpu, not on ", o.common.device);
  check_output(o.out, {o.tokens, model_path(o.model)});
  Loaded loaded = open(o.model, o.common, !o.naive, in.length());
  std::optional<UseNaive> definitions;
  if (o.naive) definitions.emplace();
  const Decoder& d = loaded.model.decoder;
  const int64_t B = in.rows(), T = in.length();
  tell_beyond_context(loaded, T);
  check_positions(loaded, T, 0);
  Tensor logits = Tensor::empty({B, T, d.vocab});
  Clock clock;
  Progress progress("logits", static_cast<double>(B * T), "tokens");
  for (int64_t b = 0; b < B; ++b) {
    const auto ids = in.row(b);
    check_tokens(ids, d.vocab);
    State state;
    const int64_t step = o.form == "whole" ? T : o.form == "chunk" ? o.chunk : 1;
    for (int64_t t = 0; t < T; t += step) {
      const int64_t n = std::min(step, T - t);
      Batch batch;
      batch.add(n, o.form == "whole" ? nullptr : &state);
      Tensor h = d.hidden(ids.subspan(static_cast<size_t>(t), static_cast<size_t>(n)), batch);
      for (int64_t r = 0; r < n; r += prefill_chunk) {       // a vocabulary is wide: its rows are made in parts
        Tensor y = copy_to(d.logits(h.slice(0, r, std::min(prefill_chunk, n - r))), Device::cpu);
        std::memcpy(logits.f32() + (b * T + t + r) * d.vocab, y.f32(), y.bytes());
        progress.at(static_cast<double>(b * T + t + r + y.dim(0)));
      }
    }
  }
  const double seconds = clock.seconds();
  write_safetensors(o.out, std::vector<NamedTensor>{{"logits", logits}});
  if (o.common.json)
    print_json(Object{{"out", o.out}, {"shape", Array{B, T, d.vocab}}, {"form", o.form}, {"seconds", seconds}});
  return 0;
}

}  // namespace

void add_logits(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("logits", "score tokens: the model's logits after each");
  c.about("Reads int64 `input_ids` [T] or [B,T] and writes f32 `logits` [B,T,vocab]. Each row is a sequence of its own.");
  c.argument("MODEL", o->model, model_help, false);
  c.option("--tokens", o->tokens, "FILE", "safetensors with input_ids").required("--tokens");
  c.option("--out", o->out, "FILE", "safetensors to write").required("--out");
  c.choice("--form", o->form, {"whole", "chunk", "step"}, "all at once without state, in chunks with it, or token by token");
  c.option("--chunk", o->chunk, "N", "tokens in a chunk").range("--chunk", 1, 1 << 20);
  c.flag("--naive", o->naive, "by the definitions, in double precision and slowly: what the kernels are held to");
  o->common.add(c);
  c.example("headrace logits MODEL --tokens in.safetensors --out out.safetensors", "the logits of a whole sequence");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
