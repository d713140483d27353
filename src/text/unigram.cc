// Viterbi over a trie, in f32 where the reference sums in f32: ties and near-ties come out as there (Kudo 2018, 1804.10959; unigram.h).
#include "text/unigram.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "text/unicode.h"

namespace headrace {

void Unigram::finish() {
  double lowest = 0;
  bool any = false;
  for (double s : scores) {
    if (!std::isfinite(s)) continue;
    lowest = any ? std::min(lowest, s) : s;
    any = true;
  }
  unknown_score_ = f32_sums ? static_cast<float>(lowest - 10) : lowest - 10;
}

void Unigram::encode(std::string_view piece, std::vector<int>& out) const {
  struct Best {
    double score = 0;
    uint32_t from = 0;
    int id = -2;  // -2: not reached, -1: unknown
  };
  const auto stored = [this](double score) { return f32_sums ? static_cast<float>(score) : score; };
  std::vector<Best> best(piece.size() + 1);
  best[0].id = -1;
  for (size_t i = 0; i < piece.size();) {
    const size_t bytes = character_at(piece, i).bytes;
    bool covered = false;
    trie.each(piece, i, [&](size_t length, int id) {
      const double score = stored(best[i].score + scores[id]);
      Best& b = best[i + length];
      if (b.id == -2 || score > b.score) b = {score, static_cast<uint32_t>(i), id};
      covered |= length == bytes;
    });
    if (!covered) {
      const double score = stored(best[i].score + unknown_score_);
      Best& b = best[i + bytes];
      if (b.id == -2 || score > b.score) b = {score, static_cast<uint32_t>(i), -1};
    }
    i += bytes;
  }
  std::vector<std::pair<uint32_t, uint32_t>> cuts;  // begin, end; last first
  for (size_t end = piece.size(); end > 0; end = best[end].from) {
    const uint32_t from = best[end].from;
    if (unknown.fuse && best[end].id == -1 && !cuts.empty() && best[cuts.back().second].id == -1 &&
        cuts.back().first == end) {
      cuts.back().first = from;  // a run of unknown characters is one piece
    } else {
      cuts.push_back({from, static_cast<uint32_t>(end)});
    }
  }
  for (auto cut = cuts.rbegin(); cut != cuts.rend(); ++cut) {
    int id = best[cut->second].id;
    if (id >= 0) {
      out.push_back(id);
    } else {
      append_unknown(unknown, piece.substr(cut->first, cut->second - cut->first), out);
    }
  }
}

}  // namespace headrace
