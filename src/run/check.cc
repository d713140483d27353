// The laws of `check`, one function each, on one course of tokens; what they compare is logits, bit for bit where the device promises it.
#include "run/check.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "ops/kernels.h"
#include "run/session.h"

namespace headrace {
namespace {

constexpr double tolerance = 1e-4;       // of f32 associated otherwise: some 1e-7 a step, which a deep model of random weights makes larger

struct Prover {
  const Decoder& model;
  std::vector<Checked> results;

  Tensor logits(std::span<const int32_t> ids, Batch& batch) const { return copy_to(model.logits(model.hidden(ids, batch)), Device::cpu); }
  Tensor whole(std::span<const int32_t> ids) const {
    Batch b;
    b.add(static_cast<int64_t>(ids.size()));
    return logits(ids, b);
  }
  Tensor chunked(std::span<const int32_t> ids, State& state, int64_t chunk) const {
    const auto all = static_cast<int64_t>(ids.size());
    Tensor y = Tensor::empty({all, model.vocab});
    for (int64_t t = 0; t < all; t += chunk) {
      const int64_t n = std::min(chunk, all - t);
      Batch b;
      b.add(n, &state);
      Tensor part = logits(ids.subspan(static_cast<size_t>(t), static_cast<size_t>(n)), b);
      std::memcpy(y.f32() + t * model.vocab, part.f32(), part.bytes());
    }
    return y;
  }
  void hold(std::string law, std::string detail, const Tensor& wanted, const Tensor& found, bool exact) {
    double squares = 0, norm = 0;
    bool finite = true;
    for (int64_t i = 0; i < wanted.count(); ++i) {
      const double a = wanted.f32()[i], e = a - found.f32()[i];
      finite = finite && std::isfinite(e);
      squares += e * e, norm += a * a;
    }
    const double worst = finite ? (squares == 0 ? 0 : std::sqrt(squares / std::max(norm, 1e-300))) : INFINITY;
    const bool same = std::memcmp(wanted.raw(), found.raw(), wanted.bytes()) == 0;
    const double allowed = exact ? 0 : tolerance;
    // Results of one law are folded: the worst stands, with its detail.
    if (!results.empty() && results.back().law == law) {
      Checked& r = results.back();
      const bool ok = exact ? same : worst <= allowed;
      if (worst > r.worst || (r.ok && !ok)) r.worst = std::max(r.worst, worst), r.detail = detail;
      r.ok = r.ok && ok;
      return;
    }
    results.push_back({std::move(law), std::move(detail), exact, allowed, worst, exact ? same : worst <= allowed});
  }
};

// What the laws share: the tokens, and what forked, rolled back and saved continue: a state after half of them.
struct Course {
  std::vector<int32_t> ids;
  std::span<const int32_t> all, first, rest;
  std::vector<int32_t> other;                      // the rest, the wrong way round
  State half;
  Tensor wanted;                                   // the logits of the rest after that state, in chunks of 16

  Course(int vocab, int64_t tokens, uint64_t seed) {
    Philox random{.seed = seed};
    for (int64_t i = 0; i < tokens; ++i)
      ids.push_back(static_cast<int32_t>(random.bits(static_cast<uint64_t>(i)) % static_cast<uint32_t>(vocab)));
    all = ids, first = all.first(ids.size() / 2), rest = all.subspan(ids.size() / 2);
    other.assign(rest.rbegin(), rest.rend());
  }
  void begin(const Prover& p) {
    p.chunked(first, half, 64);
    State reference = half;
    wanted = p.chunked(rest, reference, 16);
  }
  Course(const Course&) = delete;                  // spans of its own tokens
  std::span<const int32_t> of_sequence(size_t s, size_t begin, size_t count) const {
    return all.subspan((begin + 7 * s) % (all.size() - count + 1), count);
  }
};

// Where later tokens are seen nothing is carried on: what remains is that a batch changes nothing.
void batched_whole(Prover& p, const Course& c) {
  const size_t lengths[] = {1, c.all.size(), c.all.size() / 2, 5};
  Batch batch;
  std::vector<int32_t> joined;
  for (const size_t n : lengths) {
    joined.insert(joined.end(), c.all.begin(), c.all.begin() + static_cast<std::ptrdiff_t>(n));
    batch.add(static_cast<int64_t>(n));
  }
  const Tensor y = p.logits(joined, batch);
  for (size_t s = 0; s < 4; ++s)
    p.hold("batched", text("a whole sequence of ", lengths[s], " tokens among four"), p.whole(c.all.first(lengths[s])),
           y.slice(0, batch.offsets[s], static_cast<int64_t>(lengths[s])), false);
}

// Every chunk size against the whole sequence without state. Two forms differ by a rounding of f32; where products read their input in 8
// bits, that tips one on the edge over by a whole step, 1/254 of its block's largest. So here and in `continued` inputs are not rounded.
void chunked(Prover& p, const Course& c, const std::vector<int64_t>& chunks) {
  UseExactInputs unrounded;
  const Tensor whole = p.whole(c.all);
  for (int64_t chunk : chunks) {
    State s;
    p.hold("chunked", text("chunks of ", chunk), whole, p.chunked(c.all, s, chunk), false);
  }
}

// Sequences that run together, and each alone beside them.
struct Four {
  Prover& p;
  const Course& c;
  std::vector<State> alone = std::vector<State>(4), together = std::vector<State>(4);
  // cuBLASLt chooses how to sum by the number of rows; the CPU's products of packed weights sum each row as if it were alone.
  bool rows_alone = p.model.embed.device() == Device::cpu;

  struct Part { size_t sequence; std::span<const int32_t> ids; std::string detail; };
  void run(const std::vector<Part>& parts) {
    Batch batch;
    std::vector<int32_t> joined;
    for (const Part& part : parts) {
      joined.insert(joined.end(), part.ids.begin(), part.ids.end());
      batch.add(static_cast<int64_t>(part.ids.size()), &together[part.sequence]);
    }
    const Tensor y = p.logits(joined, batch);
    for (size_t i = 0; i < parts.size(); ++i) {
      Batch b;
      b.add(static_cast<int64_t>(parts[i].ids.size()), &alone[parts[i].sequence]);
      p.hold("batched", parts[i].detail, p.logits(parts[i].ids, b), y.slice(0, batch.offsets[i], static_cast<int64_t>(parts[i].ids.size())),
             rows_alone);
    }
  }
};
// Ragged prefill, then steps in which all sequences take part, and then one leaves.
void batched(Prover& p, const Course& c) {
  const size_t n = c.all.size(), prompts[] = {1, n / 2, 5, n / 3};
  Four four{p, c};
  std::vector<Four::Part> parts;
  for (size_t s = 0; s < 4; ++s)
    parts.push_back({s, c.of_sequence(s, 0, prompts[s]), text("prefill of ", prompts[s], " tokens among four sequences")});
  four.run(parts);
  for (size_t step = 0; step < std::min<size_t>(6, n / 4); ++step) {
    parts.clear();                                 // sequence 3 leaves at step 3; 0 feeds three tokens at a time
    for (size_t s = 0; s < (step < 3 ? 4u : 3u); ++s)
      parts.push_back({s, c.of_sequence(s, 3 * step + 11, s == 0 ? 3 : 1), text("step ", step, " of sequence ", s)});
    four.run(parts);
  }
}

// A copy goes another way; the original goes on as if there had been none.
void forked(Prover& p, const Course& c) {
  State original = c.half, fork = original, second = fork;
  p.chunked(c.other, fork, 16);
  p.hold("forked", "the original after its copy went on", c.wanted, p.chunked(c.rest, original, 16), true);
  p.hold("forked", "a copy of a copy", c.wanted, p.chunked(c.rest, second, 16), true);
}

// Forward on other tokens, back to the bookmark, and over the right ones.
void rolled_back(Prover& p, const Course& c) {
  State s = c.half;
  for (size_t n : {size_t{1}, size_t{5}, c.other.size()}) {
    const State bookmark = s;
    p.chunked(std::span<const int32_t>(c.other).first(std::min(n, c.other.size())), s, 16);
    s = bookmark;
  }
  p.hold("rolled back", "after three false starts", c.wanted, p.chunked(c.rest, s, 16), true);
}

void saved(Prover& p, const Course& c, const ModelIdentity& identity, const std::string& folder) {
  const std::string path = text(folder, "/headrace-check-", ::getpid(), ".safetensors");
  struct Remove { const std::string& p; ~Remove() { ::unlink(p.c_str()); } } remove{path};
  save_state(path, c.half, identity, c.first);
  SavedState loaded = read_state(path);
  bind_state(loaded, identity, p.model, path);
  p.hold("saved", "saved, loaded, continued", c.wanted, p.chunked(c.rest, loaded.state, 16), true);
}

// A session whose tokens change reuses what it kept.
void continued(Prover& p, const Course& c) {
  UseExactInputs unrounded;
  Session session(p.model);
  session.become(c.first);
  session.mark();
  std::vector<int32_t> wrong(c.first.begin(), c.first.end());
  wrong.insert(wrong.end(), c.other.begin(), c.other.end());
  session.become(wrong);
  const auto change = session.become(c.all);
  State s;
  feed(p.model, c.all, s);
  p.hold("continued", text(change.reused, " tokens reused after an edit"), s.last_logits, Tensor::from(session.logits(), {p.model.vocab}), false);
  const auto kept = static_cast<int64_t>(c.first.size());
  if (change.reused < kept) p.results.back().ok = false, p.results.back().detail += text(", wanted ", kept);
}

}  // namespace

std::vector<Checked> check_model(const Decoder& model, const ModelIdentity& identity, const CheckOptions& o) {
  const int64_t tokens = model.positions ? std::min(o.tokens, model.positions.dim(0)) : o.tokens;   // learned positions end
  expect(tokens >= 8, "check: wanted at least 8 tokens, found ", tokens);
  Prover p{model, {}};
  Course c(model.vocab, tokens, o.seed);
  if (!model.sees_later.empty()) return batched_whole(p, c), p.results;
  c.begin(p);
  const int laws = 6;
  int done = 0;
  auto next = [&] { if (o.progress) o.progress(++done, laws); };
  chunked(p, c, o.chunks), next();
  batched(p, c), next();
  forked(p, c), next();
  rolled_back(p, c), next();
  saved(p, c, identity, o.folder), next();
  continued(p, c), next();
  return p.results;
}

}  // namespace headrace
