// Unigram segmentation (Kudo 2018, arXiv 1804.10959): among all ways to cut a text into tokens the one with the highest
// sum of log-probabilities, by Viterbi over a trie. A character that no token covers counts as the unknown token with
// the lowest score less 10.
#pragma once
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/vocab.h"

namespace headrace {

class Unigram {
 public:
  Trie trie;                   // the tokens that may be produced
  std::vector<double> scores;  // log-probabilities, one a token
  Unknown unknown;
  bool f32_sums = false;  // kept as SentencePiece keeps them, which decides between paths that are equally good
  void finish();  // after the members above are set
  void encode(std::string_view piece, std::vector<int>& out) const;

 private:
  double unknown_score_ = 0;
};

}  // namespace headrace
