// Copying.
//   selective_copy  n tokens among blanks, to be said in order after the copy mark (Gu and Dao 2023, 2312.00752; MAD: Poli et al. 2024,
//                   2403.17844). kind: plain (the blanks after them), selective (blanks before any of them, none after the last), spread
//                   (anywhere: Mamba's)
//   copy            strings "$ x | x ." (Jelassi et al. 2024, 2402.01032). kind: copy; suffix_key (after "|" an n-gram of x: say the k
//                   tokens that followed it in x); prefix_key (the same with the n-gram before x)
//   rewrite         x = y ; with y copied, reversed or sorted (Kazemnejad et al. 2023, 2305.19466; Huang et al. 2025, 2410.02140)
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct SelectiveCopy {
  static constexpr TaskDoc doc{"selective_copy", "copying the tokens that are no blanks", "Gu and Dao 2023, 2312.00752; Poli et al. 2024, 2403.17844",
      "selective recurrences and attention solve it; time-invariant ones (S4) only where the blanks come last"};
  int V, L, n;
  std::string kind;
  void visit(auto& v) {
    v("V", V, 16, "vocabulary: blank and copy mark are the last two", Range{3, 1 << 16});
    v("L", L, 256, "tokens in all", Range{3, 1 << 20});
    v("n", n, 16, "tokens to copy");
    v("kind", kind, "selective", "where the blanks are", Choice{"plain", "selective", "spread"});
  }
  void check() const { expect(int64_t{2} * n + 1 <= L, "selective_copy: L = ", L, " is too short for n = ", n, ": wanted ", int64_t{2} * n + 1); }
  int vocab() const { return V; }
  std::string word(int32_t t) const { return t == V - 2 ? "_" : t == V - 1 ? "copy" : std::to_string(t); }
  Sample sample(Dice& d) const {
    const int blanks = L - 2 * n - 1;
    std::vector<int> before(at(n + 1));                                  // blanks before each, and after the last
    if (kind == "plain") before[at(n)] = blanks;
    else if (kind == "selective") for (int i = 0; i < blanks; ++i) ++before[at(d.below(n))];
    else {
      std::vector<int> places = d.distinct(n, n + blanks);
      std::sort(places.begin(), places.end());
      for (int i = 0; i < n; ++i) before[at(i)] = places[at(i)] - (i ? places[at(i - 1)] + 1 : 0);
      before[at(n)] = n + blanks - 1 - places.back();
    }
    Sample s;
    std::vector<int32_t> said;
    for (int i = 0; i <= n; ++i) {
      for (int b = 0; b < before[at(i)]; ++b) s.say(V - 2);
      if (i < n) said.push_back(d.below(V - 2)), s.say(said.back());
    }
    s.say(V - 1);
    for (const int32_t t : said) s.ask(V - 2, t);
    return s;
  }
};

struct Copy {
  static constexpr TaskDoc doc{"copy", "copying strings, and looking n-grams up in them", "Jelassi et al. 2024, 2402.01032",
      "attention learns it fast and beyond the trained length with the right positions; recurrences as far as their state holds the string"};
  int alphabet, n, k, twice;
  Lengths length;
  std::string kind;
  bool unique;
  void visit(auto& v) {
    v("alphabet", alphabet, 26, "letters", Range{2, 1 << 16});
    length.visit(v, 5, 20, 1, "letters of the string");
    v("kind", kind, "copy", "what is asked", Choice{"copy", "suffix_key", "prefix_key"});
    v("n", n, 3, "letters of the key");
    v("k", k, 3, "letters that are to follow it");
    v("twice", twice, 0, "letters that come twice in the string, so that keys are ambiguous; 0: as they fall", Range{0, 1 << 16});
    v("unique", unique, false, "no letter comes twice");
  }
  void check() const {
    length.check("copy");
    expect(kind == "copy" || n + k <= length.min, "copy: min = ", length.min, " is too short for n = ", n, " and k = ", k);
    expect(int64_t{2} * twice <= length.min, "copy: min = ", length.min, " is too short for ", twice, " letters twice");
    expect(!unique || (length.max <= alphabet && !twice), "copy: ", length.max, " letters without a repeat of alphabet = ", alphabet);
  }
  int vocab() const { return alphabet + 4; }                             // $ | . and * for padding, which ragged batches do without
  std::string word(int32_t t) const {
    if (t >= alphabet) return std::array{"$", "|", ".", "*"}[at(t - alphabet)];
    return alphabet <= 26 ? std::string(1, static_cast<char>('a' + t)) : std::to_string(t);
  }
  std::vector<int32_t> string(Dice& d) const {
    const int l = length.draw(d);
    std::vector<int32_t> x;
    if (unique) {
      for (int t : d.distinct(l, alphabet)) x.push_back(t);
      return x;
    }
    for (int i = 0; i < l; ++i) x.push_back(d.below(alphabet));
    if (twice) {                                                         // two places that do not overlap
      const std::vector<int> gaps = d.distinct(2, l - 2 * twice + 2);
      const int a = std::min(gaps[0], gaps[1]), b = std::max(gaps[0], gaps[1]) - 1 + twice;
      std::copy_n(x.begin() + a, twice, x.begin() + b);
    }
    return x;
  }
  Sample sample(Dice& d) const {
    const std::vector<int32_t> x = string(d);
    Sample s;
    std::vector<int32_t> answer = x, key;
    if (kind != "copy") {
      const auto place = x.begin() + d.below(static_cast<int>(std::ssize(x)) - n - k + 1);
      key.assign(place, place + n), answer.assign(place + n, place + n + k);
    }
    if (kind == "prefix_key") for (const int32_t t : key) s.say(t);
    s.say(alphabet);
    for (const int32_t t : x) s.say(t);
    s.say(alphabet + 1);
    if (kind == "suffix_key") for (const int32_t t : key) s.say(t);
    if (kind == "copy") answer.push_back(alphabet + 2);
    s.ask_last(answer[0]);
    for (size_t i = 1; i < answer.size(); ++i) s.ask(answer[i - 1], answer[i]);
    return s;
  }
};

struct Rewrite {
  static constexpr TaskDoc doc{"rewrite", "copying, reversing, sorting", "Kazemnejad et al. 2023, 2305.19466; Huang et al. 2025, 2410.02140",
      "beyond the trained length: copies of unique symbols and sorting generalise, copies with repeats do not; NoPE before ALiBi before RoPE"};
  int alphabet;
  Lengths length;
  std::string kind;
  bool unique;
  void visit(auto& v) {
    v("alphabet", alphabet, 50, "symbols", Range{2, 1 << 16});
    length.visit(v, 1, 20, 1, "symbols of the string");
    v("kind", kind, "copy", "what becomes of it", Choice{"copy", "reverse", "sort"});
    v("unique", unique, false, "no symbol comes twice");
  }
  void check() const {
    length.check("rewrite");
    expect(!unique || length.max <= alphabet, "rewrite: ", length.max, " symbols without a repeat of alphabet = ", alphabet);
  }
  int vocab() const { return alphabet + 2; }
  std::string word(int32_t t) const { return t == alphabet ? "=" : t > alphabet ? ";" : std::to_string(t); }
  Sample sample(Dice& d) const {
    std::vector<int> x = d.distinct(unique ? length.draw(d) : 0, alphabet);
    if (!unique) for (int l = length.draw(d); std::ssize(x) < l;) x.push_back(d.below(alphabet));
    Sample s;
    for (const int t : x) s.say(t);
    s.say(alphabet);
    if (kind == "reverse") std::reverse(x.begin(), x.end());
    if (kind == "sort") std::sort(x.begin(), x.end());
    for (const int t : x) s.ask_last(t), s.say(t);
    s.ask_last(alphabet + 1);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> copying_tasks() { return {task_of<SelectiveCopy>(), task_of<Copy>(), task_of<Rewrite>()}; }

}  // namespace headrace
