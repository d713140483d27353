#include "run/check.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "run/session.h"

namespace headrace {
namespace {

// Rounding of another association: some 1e-7 a step in f32. Where products quantise their input, one value on the edge
// of a step moves a whole quantum, about 1/254 of the block's largest.
constexpr double f32_tolerance = 1e-4, block_tolerance = 2e-2;

struct Prover {
  const Decoder& model;
  std::vector<Checked> results;
  double tolerance;

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

}  // namespace

std::vector<Checked> check_model(const Decoder& model, const ModelIdentity& identity, const CheckOptions& o) {
  const int64_t tokens = model.positions ? std::min(o.tokens, model.positions.dim(0)) : o.tokens;   // learned positions end
  expect(tokens >= 8, "check: wanted at least 8 tokens, found ", tokens);
  Prover p{model, {}, o.quantised ? block_tolerance : f32_tolerance};
  Philox random{.seed = o.seed};
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < tokens; ++i)
    ids.push_back(static_cast<int32_t>(random.bits(static_cast<uint64_t>(i)) % static_cast<uint32_t>(model.vocab)));
  const std::span<const int32_t> all(ids);
  const int laws = 6;
  int done = 0;
  auto next = [&] { if (o.progress) o.progress(++done, laws); };

  // Where later tokens are seen nothing is carried on: what remains is that a batch changes nothing.
  if (!model.sees_later.empty()) {
    const size_t lengths[] = {1, all.size(), all.size() / 2, 5};
    Batch batch;
    std::vector<int32_t> joined;
    for (const size_t n : lengths) {
      joined.insert(joined.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n));
      batch.add(static_cast<int64_t>(n));
    }
    const Tensor y = p.logits(joined, batch);
    for (size_t s = 0; s < 4; ++s)
      p.hold("batched", text("a whole sequence of ", lengths[s], " tokens among four"), p.whole(all.first(lengths[s])),
             y.slice(0, batch.offsets[s], static_cast<int64_t>(lengths[s])), false);
    return p.results;
  }

  // Chunked: every chunk size against the whole sequence without state.
  const Tensor whole = p.whole(all);
  for (int64_t chunk : o.chunks) {
    State s;
    p.hold("chunked", text("chunks of ", chunk), whole, p.chunked(all, s, chunk), false);
  }
  next();

  // Batched: ragged prefill, then steps in which all sequences take part, then one joins late and one leaves.
  {
    const size_t n = all.size();
    const size_t prompts[] = {1, n / 2, 5, n / 3};
    const size_t steps = std::min<size_t>(6, n / 4);
    std::vector<State> alone(4), together(4);
    auto span_of = [&](size_t s, size_t begin, size_t count) { return all.subspan((begin + 7 * s) % (n - count + 1), count); };
    Batch batch;
    // cuBLASLt chooses how to sum by the number of rows; the CPU's products sum each row as if it were alone.
    const bool rows_alone = model.embed.device() == Device::cpu;
    std::vector<int32_t> joined;
    for (size_t s = 0; s < 4; ++s) {
      auto ids = span_of(s, 0, prompts[s]);
      joined.insert(joined.end(), ids.begin(), ids.end());
      batch.add(static_cast<int64_t>(ids.size()), &together[s]);
    }
    Tensor y = p.logits(joined, batch);
    for (size_t s = 0; s < 4; ++s) {
      Batch b;
      auto ids = span_of(s, 0, prompts[s]);
      b.add(static_cast<int64_t>(ids.size()), &alone[s]);
      p.hold("batched", text("prefill of ", prompts[s], " tokens among four sequences"), p.logits(ids, b),
             y.slice(0, batch.offsets[s], static_cast<int64_t>(ids.size())), rows_alone);
    }
    for (size_t step = 0; step < steps; ++step) {
      Batch mixed;                                 // sequence 3 leaves at step 3; 0 feeds three tokens at a time
      std::vector<int32_t> in;
      std::vector<size_t> who;
      for (size_t s = 0; s < (step < 3 ? 4u : 3u); ++s) {
        auto ids = span_of(s, 3 * step + 11, s == 0 ? 3 : 1);
        in.insert(in.end(), ids.begin(), ids.end());
        mixed.add(static_cast<int64_t>(ids.size()), &together[s]);
        who.push_back(s);
      }
      Tensor z = p.logits(in, mixed);
      for (size_t i = 0; i < who.size(); ++i) {
        auto ids = span_of(who[i], 3 * step + 11, who[i] == 0 ? 3 : 1);
        Batch b;
        b.add(static_cast<int64_t>(ids.size()), &alone[who[i]]);
        p.hold("batched", text("step ", step, " of sequence ", who[i]), p.logits(ids, b),
               z.slice(0, mixed.offsets[i], static_cast<int64_t>(ids.size())), rows_alone);
      }
    }
    next();
  }

  // Forked: a copy goes another way; the original goes on as if there had been none.
  const size_t half = all.size() / 2;
  State base;
  p.chunked(all.first(half), base, 64);
  State untouched = base;                          // continues first, as the reference
  const auto rest = all.subspan(half);
  std::vector<int32_t> other(rest.rbegin(), rest.rend());
  State reference = base;
  const Tensor wanted = p.chunked(rest, reference, 16);
  {
    State fork = base;
    p.chunked(other, fork, 16);
    p.hold("forked", "the original after its copy went on", wanted, p.chunked(rest, base, 16), true);
    State second = untouched;
    p.hold("forked", "a copy of a copy", wanted, p.chunked(rest, second, 16), true);
  }
  next();

  // Rolled back: forward on other tokens, back to the bookmark, and over the right ones.
  {
    State s = untouched;
    for (size_t n : {size_t{1}, size_t{5}, other.size()}) {
      const State bookmark = s;
      p.chunked(std::span<const int32_t>(other).first(std::min(n, other.size())), s, 16);
      s = bookmark;
    }
    p.hold("rolled back", "after three false starts", wanted, p.chunked(rest, s, 16), true);
  }
  next();

  // Saved and loaded.
  {
    const std::string path = text(o.folder, "/headrace-check-", ::getpid(), ".safetensors");
    struct Remove { const std::string& p; ~Remove() { ::unlink(p.c_str()); } } remove{path};
    save_state(path, untouched, identity, all.first(half));
    SavedState loaded = read_state(path);
    bind_state(loaded, identity, model, path);
    p.hold("saved", "saved, loaded, continued", wanted, p.chunked(rest, loaded.state, 16), true);
  }
  next();

  // Continued: a session whose tokens change reuses what it kept.
  {
    Session session(model);
    session.become(all.first(half));
    session.mark();
    std::vector<int32_t> wrong(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(half));
    wrong.insert(wrong.end(), other.begin(), other.end());
    session.become(wrong);
    const auto change = session.become(all);
    State s;
    feed(model, all, s);
    p.hold("continued", text(change.reused, " tokens reused after an edit"), s.last_logits, Tensor::from(session.logits(), {model.vocab}), false);
    if (change.reused < static_cast<int64_t>(half)) p.results.back().ok = false, p.results.back().detail += text(", wanted ", half);
  }
  next();
  return p.results;
}

}  // namespace headrace
