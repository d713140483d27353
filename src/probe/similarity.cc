// Similarity that is believed to cost quadratic time.
//   edit_distance  between a string and an edited, or an unrelated, one (Backurs and Indyk 2018, 1412.0348): "x | y =", the distance as a
//                  class, or in bins of distance / n
//   orthogonal     do two of n documents, bags of l = c log2 n words, share no word? (Alman and Yu 2024, 2410.04271). Words are there with
//                  probability p such that accidents are rare (those are drawn again). Of the no's too two documents are redrawn with the
//                  number of words that a planted pair has, so that this tells nothing
#include <numeric>

#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct EditDistance {
  static constexpr TaskDoc doc{"edit_distance", "edit distance", "Backurs and Indyk 2018, 1412.0348; Fichtl et al. 2025",
      "all mixers fall with n; no subquadratic algorithm is known"};
  int n, alphabet, bins;
  double unrelated;
  void visit(auto& v) {
    v("n", n, 16, "letters of the first string", Range{1, 1 << 12});
    v("alphabet", alphabet, 4, "letters", Range{2, 1 << 10});
    v("bins", bins, 0, "classes of distance / n; 0: the distance itself", Range{0, 1 << 10});
    v("unrelated", unrelated, 0.5, "share of pairs where the second string is drawn alone", Range{0, 1});
  }
  int vocab() const { return alphabet + 2 + (bins ? bins : n + 1); }
  std::string word(int32_t t) const {
    if (t < alphabet) return alphabet <= 26 ? std::string(1, static_cast<char>('a' + t)) : std::to_string(t);
    return t == alphabet ? "|" : t == alphabet + 1 ? "=" : text("#", t - alphabet - 2);
  }
  static int distance(const std::vector<int32_t>& x, const std::vector<int32_t>& y) {
    std::vector<int> row(y.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (size_t i = 1; i <= x.size(); ++i) {
      int diagonal = row[0];
      row[0] = static_cast<int>(i);
      for (size_t j = 1; j <= y.size(); ++j)
        diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, diagonal + (x[i - 1] != y[j - 1])}));
    }
    return row.back();
  }
  Sample sample(Dice& d) const {
    std::vector<int32_t> x(at(n));
    for (int32_t& t : x) t = d.below(alphabet);
    std::vector<int32_t> y = x;
    if (d.coin(unrelated)) for (int32_t& t : y) t = d.below(alphabet);
    else
      for (int e = d.between(0, n / 2); e > 0; --e) {
        const int kind = y.empty() ? 1 : d.below(3);
        const auto place = y.begin() + d.below(static_cast<int>(y.size()) + (kind == 1));
        if (kind == 0) *place = (*place + d.between(1, alphabet - 1)) % alphabet;
        else if (kind == 1) y.insert(place, d.below(alphabet));
        else y.erase(place);
      }
    const int far = distance(x, y);
    Sample s;
    for (const int32_t t : x) s.say(t);
    s.say(alphabet);
    for (const int32_t t : y) s.say(t);
    s.ask(alphabet + 1, alphabet + 2 + (bins ? std::min(far * bins / n, bins - 1) : far));
    return s;
  }
};

struct Orthogonal {
  static constexpr TaskDoc doc{"orthogonal", "document similarity: two that share no word", "Alman and Yu 2024, 2410.04271",
      "attention, at its n^2; recurrences near chance once n l is over the bits of the state"};
  int n, c;
  void visit(auto& v) {
    v("n", n, 32, "documents", Range{2, 1 << 11});
    v("c", c, 4, "words in the vocabulary, by log2 n", Range{1, 64});
  }
  int words() const { return std::max(4, static_cast<int>(std::ceil(c * std::log2(n)))); }
  double p() const { return std::sqrt(1 - std::pow(0.1 / (static_cast<double>(n) * n), 1.0 / words())); }   // (n^2 / 2)(1 - p^2)^l = 0.05
  int vocab() const { return 2; }
  int inputs() const { return words() + 1; }                             // a flag where the answer is asked
  std::string word(int32_t t) const { return t ? "yes" : "no"; }
  using Document = std::vector<uint8_t>;
  static int weight(const Document& u) { return std::accumulate(u.begin(), u.end(), 0); }
  static bool share(const Document& u, const Document& v) {
    for (size_t i = 0; i < u.size(); ++i) if (u[i] && v[i]) return true;
    return false;
  }
  static bool any_pair(const std::vector<Document>& all) {
    for (size_t i = 0; i < all.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        if (!share(all[i], all[j])) return true;
    return false;
  }
  Document with(Dice& d, std::vector<int> allowed, int count) const {   // so many of these words
    Document u(at(words()));
    d.shuffle(allowed);
    for (int i = 0; i < count; ++i) u[at(allowed[at(i)])] = 1;
    return u;
  }
  Sample sample(Dice& d) const {
    const bool wanted = d.coin();
    std::vector<Document> all;
    do {
      all.assign(at(n), Document(at(words())));
      for (Document& u : all) while (weight(u) == 0 || weight(u) == words()) for (uint8_t& w : u) w = d.coin(p());
      const std::vector<int> pair = d.distinct(2, n);
      Document &u = all[at(pair[0])], &v = all[at(pair[1])];
      const int half = words() / 2, a = std::min(weight(u), half), b = std::min(weight(v), words() - half);
      std::vector<int> order(at(words()));
      std::iota(order.begin(), order.end(), 0);
      u = with(d, order, a);
      if (wanted) std::erase_if(order, [&](int w) { return u[at(w)]; });
      v = with(d, order, b);
    } while (!wanted && any_pair(all));
    Sample s;
    for (const Document& u : all) {
      s.x.insert(s.x.end(), u.begin(), u.end());
      s.x.push_back(0);
      s.targets.push_back(Sample::none), s.mask.push_back(0);
    }
    s.x.resize(s.x.size() + at(words())), s.x.push_back(1);
    s.targets.push_back(wanted), s.mask.push_back(1);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> similarity_tasks() { return {task_of<EditDistance>(), task_of<Orthogonal>()}; }

}  // namespace headrace
