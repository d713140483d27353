// Formal languages.
//   dyck      brackets of k types, at most m deep (Hahn 2020, 1906.06755; Hewitt et al. 2020, 2010.07515). Words of an exact length, all as
//             likely: with N(r, h) ways back to the ground from height h in r steps, up has probability N(r-1, h+1) / (N(r-1, h+1) + N(r-1, h-1)).
//             kind: member (is it a word, at the end); close (closing brackets are shown as one sign: which type?); depth (after each bracket)
//   negation  n negations of a truth value, or an expression of several with "and", "or" and brackets
//   regular   is it in the language: even (aa)*, multiple (a^m)*, sorted a*b*, no_bb. The first two need a counter modulo m, the others none
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Dyck {
  static constexpr TaskDoc doc{"dyck", "brackets", "Hahn 2020, 1906.06755; Hewitt et al. 2020, 2010.07515",
      "bounded depth: attention of two layers, recurrences; unbounded with two types: LSTM as far as its state, attention not in length"};
  int k, m;
  Lengths length;
  std::string kind;
  std::vector<std::vector<double>> ways;                                 // [steps left][height], each row by its largest
  void visit(auto& v) {
    v("k", k, 2, "types of brackets", Range{1, 1 << 12});
    v("m", m, 5, "the deepest; 0: any depth", Range{0, 1 << 12});
    length.visit(v, 2, 84, 2, "brackets: made even");
    v("kind", kind, "member", "what is asked", Choice{"member", "close", "depth"});
  }
  int deepest() const { return m ? std::min(m, length.max / 2) : length.max / 2; }
  void check() {
    length.check("dyck");
    expect(kind != "depth" || m > 0, "dyck: kind = depth wants a depth m to count to");
    expect(int64_t{length.max} * deepest() <= 1 << 24, "dyck: max = ", length.max, " and depth ", deepest(), " are too large together");
    ways.assign(at(length.max + 1), std::vector<double>(at(deepest() + 2)));
    ways[0][0] = 1;
    for (size_t r = 1; r < ways.size(); ++r) {
      double most = 0;
      for (int h = 0; h <= deepest(); ++h)
        most = std::max(most, ways[r][at(h)] = (h ? ways[r - 1][at(h - 1)] : 0) + (h < deepest() ? ways[r - 1][at(h + 1)] : 0));
      for (double& w : ways[r]) w /= most;
    }
  }
  enum { any_close, end, yes, no, specials };
  int special(int which) const { return 2 * k + which; }
  int vocab() const { return special(specials) + (kind == "depth" ? m + 1 : 0); }
  std::string word(int32_t t) const {
    if (t < 2 * k) return k <= 3 ? std::string(1, "([{)]}"[t < k ? t : 3 + t - k]) : text(t < k ? "<" : ">", t % k);
    return t >= special(specials) ? text("d", t - special(specials)) : std::array{")?", "end", "yes", "no"}[at(t - 2 * k)];
  }
  bool member(const std::vector<int32_t>& w) const {
    std::vector<int32_t> open;
    for (const int32_t t : w) {
      if (t < k) open.push_back(t);
      else if (open.empty() || open.back() != t - k) return false;
      else open.pop_back();
      if (std::ssize(open) > deepest()) return false;
    }
    return open.empty();
  }
  std::vector<int32_t> drawn(Dice& d) const {
    std::vector<int32_t> w, open;
    for (int left = length.draw(d) / 2 * 2; left > 0; --left) {
      const size_t h = open.size();
      const double up = std::ssize(open) < deepest() ? ways[at(left - 1)][h + 1] : 0, down = h ? ways[at(left - 1)][h - 1] : 0;
      if (d.coin(up / (up + down))) open.push_back(d.below(k)), w.push_back(open.back());
      else w.push_back(k + open.back()), open.pop_back();
    }
    return w;
  }
  // A closing bracket of another type, or two brackets changed over: as many of each direction as before.
  void corrupt(Dice& d, std::vector<int32_t>& w) const {
    const std::vector<int32_t> before = w;
    const int n = static_cast<int>(std::ssize(w));
    do {
      w = before;
      const bool type = k > 1 && d.coin();
      int i, j;
      do i = d.below(n), j = d.below(n); while (w[at(i)] >= k || w[at(j)] < k);          // i opens, j closes
      if (type) w[at(j)] = k + (w[at(j)] - k + d.between(1, k - 1)) % k;
      else std::swap(w[at(i)], w[at(j)]);
    } while (member(w));
  }
  Sample sample(Dice& d) const {
    std::vector<int32_t> w = drawn(d);
    Sample s;
    if (kind == "member") {
      const bool right = d.coin();
      if (!right) corrupt(d, w);
      for (const int32_t t : w) s.say(t);
      s.ask(special(end), special(right ? yes : no));
      return s;
    }
    for (int i = 0, depth = 0; i < std::ssize(w); ++i) {
      const int32_t t = w[at(i)];
      depth += t < k ? 1 : -1;
      if (kind == "depth") s.ask(t, special(specials) + depth);
      else if (t < k) s.say(t);
      else s.ask(special(any_close), t);
    }
    return s;
  }
};

struct Negation {
  static constexpr TaskDoc doc{"negation", "iterated negation", "Hahn 2020, 1906.06755",
      "as parity: no attention of fixed size at all lengths; nonlinear recurrences do it", 2};
  Lengths length;
  int values;
  void visit(auto& v) {
    v("values", values, 1, "truth values of the expression");
    length.visit(v, 0, values > 1 ? 40 : 200, 0, "negations before each value and bracket");       // of one value there is little else
  }
  void check() const {
    length.check("negation");
    expect(values <= 4096, "negation: values = ", values, " are over 4096");
  }
  int vocab() const { return 8; }
  std::string word(int32_t t) const { return std::array{"F", "T", "not", "and", "or", "(", ")", "="}[at(t)]; }
  bool expression(Dice& d, Sample& s, int leaves) const {
    const int n = length.draw(d);
    for (int i = 0; i < n; ++i) s.say(2);
    bool value;
    if (leaves == 1) {
      value = d.coin();
      s.say(value);
    } else {
      s.say(5);
      const int left = d.between(1, leaves - 1);
      value = expression(d, s, left);
      const bool both = d.coin();
      s.say(both ? 3 : 4);
      const bool other = expression(d, s, leaves - left);
      value = both ? value && other : value || other;
      s.say(6);
    }
    return value != (n % 2 == 1);
  }
  Sample sample(Dice& d) const {
    Sample s;
    const bool value = expression(d, s, values);
    s.ask(7, value);
    return s;
  }
};

struct Regular {
  static constexpr TaskDoc doc{"regular", "membership in regular languages", "Hahn 2020, 1906.06755; Sarrof et al. 2024, 2405.17394",
      "star-free ones: attention and state spaces; (aa)* and its kin only with eigenvalues that are not positive", 2};
  std::string language;
  int m;
  Lengths length;
  void visit(auto& v) {
    v("language", language, "even", "which", Choice{"even", "multiple", "sorted", "no_bb"});
    v("m", m, 3, "of multiple", Range{2, 1 << 10});
    length.visit(v, 2, modulus() ? 400 : 40, 1, "letters");              // of a modulus there is one word of each length
  }
  void check() const {
    length.check("regular");
    if (modulus()) expect(length.max / modulus() * modulus() >= length.min && length.max >= length.min + 1, "regular: no word of ", length.min, "..",
                          length.max, " letters is a multiple of ", modulus(), ", or none is not");
    else expect(length.min >= 2, "regular: min = ", length.min, ": of one letter all words are in the language");
  }
  int modulus() const { return language == "even" ? 2 : language == "multiple" ? m : 0; }
  int vocab() const { return 5; }
  std::string word(int32_t t) const { return std::array{"a", "b", "end", "yes", "no"}[at(t)]; }
  bool member(const std::vector<int32_t>& w) const {
    if (modulus()) return std::ssize(w) % modulus() == 0;
    for (size_t i = 1; i < w.size(); ++i)
      if (w[i - 1] == 1 && w[i] == (language == "sorted" ? 0 : 1)) return false;
    return true;
  }
  // Half are words; the others differ from one in one place, so that no counting tells them apart, or (of a modulus) in their length.
  Sample sample(Dice& d) const {
    const bool wanted = d.coin();
    std::vector<int32_t> w;
    do w.assign(at(length.draw(d)), 0); while (modulus() && member(w) != wanted);
    const int n = static_cast<int>(std::ssize(w));
    if (language == "sorted") std::fill(w.begin() + d.below(n + 1), w.end(), 1);
    if (language == "no_bb") for (int i = 0; i < n; ++i) w[at(i)] = (i == 0 || w[at(i - 1)] == 0) && d.coin();
    if (!modulus() && !wanted) {
      const int i = d.below(n - 1);
      w[at(i)] = 1, w[at(i + 1)] = language == "no_bb";
    }
    Sample s;
    for (const int32_t t : w) s.say(t);
    s.ask(2, wanted ? 3 : 4);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> language_tasks() { return {task_of<Dyck>(), task_of<Negation>(), task_of<Regular>()}; }

}  // namespace headrace
