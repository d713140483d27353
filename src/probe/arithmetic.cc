// Arithmetic.
//   mod_arith     digits with + - * between them, * first, modulo 5 (Deletang et al. 2022, 2207.02098; tokens of Grazzi et al. 2024,
//                 2411.12537). A regular language: (sum, signed product so far) is a finite state. trace=steps rewrites the expression with its
//                 leftmost product, else its leftmost sum, reduced
//   mod_brackets  the same fully bracketed, which no finite automaton can do
//   addition      a + b = their sum, from the last digit (reverse) or the first (Kazemnejad et al. 2023, 2305.19466)
//   polynomial    x and coefficients, modulo 10; trace=steps is Horner's scheme. sum: digits modulo 10
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

enum Operation { plus, minus, times };
int applied(int a, int operation, int b, int m) {
  const int x = operation == plus ? a + b : operation == minus ? a - b : a * b;
  return (x % m + m) % m;
}

struct ModArith {
  static constexpr TaskDoc doc{"mod_arith", "arithmetic modulo 5 without brackets",
      "Deletang et al. 2022, 2207.02098; Grazzi et al. 2024, 2411.12537",
      "sLSTM and DeltaNet with negative eigenvalues well beyond the trained length; Mamba and attention near chance"};
  static constexpr int modulus = 5;
  Lengths length;
  Trace trace;
  void visit(auto& v) {
    length.visit(v, 3, 40, 3, "tokens with '=' and the answer: made odd");
    trace.visit(v);
  }
  void check() const {
    length.check("mod_arith");
    expect(length.max <= 4096 || trace.kind == "none", "mod_arith: max = ", length.max, " is too long to be written out in steps: at most 4096");
  }
  int vocab() const { return 10 + trace.tokens(); }                      // padding, + - * =, digits; '=' of a trace is the task's own
  std::string word(int32_t t) const {
    if (t >= 10) return Trace::word(t - 10);
    return t >= 5 ? std::to_string(t - 5) : std::array{"pad", "+", "-", "*", "="}[at(t)];
  }
  Sample sample(Dice& d) const {
    std::vector<int> digits, operations;
    for (int i = 0, n = (length.draw(d) - 1) / 2; i < n; ++i) {
      if (i) operations.push_back(d.below(3));
      digits.push_back(d.below(modulus));
    }
    const auto written = [&] {
      std::vector<int32_t> e;
      for (size_t i = 0; i < digits.size(); ++i) {
        if (i) e.push_back(1 + operations[i - 1]);
        e.push_back(5 + digits[i]);
      }
      return e;
    };
    Sample s;
    for (const int32_t t : written()) s.say(t);
    s.say(4);
    std::vector<int32_t> steps;                                          // 3*2+1 = 1+1 = 2
    while (!operations.empty()) {
      size_t i = at(static_cast<int>(std::find(operations.begin(), operations.end(), static_cast<int>(times)) - operations.begin()));
      if (i == operations.size()) i = 0;
      digits[i] = applied(digits[i], operations[i], digits[i + 1], modulus);
      operations.erase(operations.begin() + static_cast<std::ptrdiff_t>(i));
      digits.erase(digits.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      if (trace.kind == "none") continue;
      for (const int32_t t : written()) steps.push_back(t);
      steps.push_back(4);
    }
    if (trace.kind != "none" && !steps.empty()) steps.pop_back();
    if (steps.empty()) steps.push_back(5 + digits[0]);
    trace.finish(s, steps, 10);
    return s;
  }
};

struct ModBrackets {
  static constexpr TaskDoc doc{"mod_brackets", "arithmetic modulo 5 with brackets",
      "Deletang et al. 2022, 2207.02098; Grazzi et al. 2024, 2411.12537",
      "no model of the literature is far over chance beyond its trained length"};
  static constexpr int modulus = 5;
  Lengths length;
  bool mult;
  void visit(auto& v) {
    length.visit(v, 3, 40, 3, "tokens: the expression and three more, '=', the answer and padding");
    v("mult", mult, false, "products too");
  }
  void check() const { length.check("mod_brackets"); }
  int vocab() const { return 12; }                                       // digits, + - * ( ) = padding
  std::string word(int32_t t) const { return t < 5 ? std::to_string(t) : std::array{"+", "-", "*", "(", ")", "=", "pad"}[at(t - 5)]; }
  // Says an expression of so many tokens; gives its value.
  int expression(Dice& d, Sample& s, int tokens) const {
    const auto digit = [&] { const int x = d.below(modulus); s.say(x); return x; };
    if (tokens == 1) return digit();
    if (tokens == 2) return s.say(6), (modulus - digit()) % modulus;
    s.say(8);
    int value;
    if (tokens == 3) value = digit();
    else if (tokens == 4) value = expression(d, s, 2);
    else {
      const int left = d.between(1, tokens - 4);
      value = expression(d, s, left);
      const int operation = d.below(mult ? 3 : 2);
      s.say(5 + operation);
      value = applied(value, operation, expression(d, s, tokens - left - 3), modulus);
    }
    s.say(9);
    return value;
  }
  Sample sample(Dice& d) const {
    Sample s;
    const int value = expression(d, s, std::max(length.draw(d), 5) - 3);
    s.ask(10, value);
    return s;
  }
};

struct Addition {
  static constexpr TaskDoc doc{"addition", "sums of two numbers", "Kazemnejad et al. 2023, 2305.19466; Huang et al. 2025, 2410.02140",
      "attention without positions before ALiBi before RoPE beyond the trained length; none far"};
  Lengths length;
  bool reverse;
  void visit(auto& v) {
    length.visit(v, 1, 8, 1, "digits of each number");
    v("reverse", reverse, true, "the sum is written from its last digit");
  }
  void check() const { length.check("addition"); }
  int vocab() const { return 12; }
  std::string word(int32_t t) const { return t < 10 ? std::to_string(t) : t == 10 ? "+" : "="; }
  Sample sample(Dice& d) const {
    const int n = length.draw(d);
    Sample s;
    std::vector<int32_t> a, b, sum;
    for (auto* x : {&a, &b})
      for (int i = 0; i < n; ++i) x->push_back(d.below(10));             // from the first digit
    for (int i = n - 1, carry = 0; i >= 0; --i) {
      carry += a[at(i)] + b[at(i)];
      sum.push_back(carry % 10), carry /= 10;
      if (i == 0) sum.push_back(carry);
    }
    if (!reverse) std::reverse(sum.begin(), sum.end());
    for (const int32_t t : a) s.say(t);
    s.say(10);
    for (const int32_t t : b) s.say(t);
    s.ask(11, sum[0]);
    for (size_t i = 1; i < sum.size(); ++i) s.ask(sum[i - 1], sum[i]);
    return s;
  }
};

struct Polynomial {
  static constexpr TaskDoc doc{"polynomial", "polynomials and sums modulo 10", "Kazemnejad et al. 2023, 2305.19466",
      "attention learns them within its lengths; beyond them only with steps"};
  Lengths length;
  Trace trace;
  bool sum;
  void visit(auto& v) {
    length.visit(v, 1, 20, 1, "coefficients, the highest first");
    v("sum", sum, false, "x is always 1: the sum of digits");
    trace.visit(v);
  }
  void check() const { length.check("polynomial"); }
  int vocab() const { return 11 + trace.tokens(); }
  std::string word(int32_t t) const { return t < 10 ? std::to_string(t) : t == 10 ? ":" : Trace::word(t - 11); }
  Sample sample(Dice& d) const {
    const int x = sum ? 1 : d.below(10);
    Sample s;
    if (!sum) s.say(x), s.say(10);
    std::vector<int32_t> states;
    for (int i = 0, n = length.draw(d), value = 0; i < n; ++i) {
      const int c = d.below(10);
      s.say(c);
      states.push_back(value = (value * x + c) % 10);
    }
    trace.finish(s, states, 11);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> arithmetic_tasks() { return {task_of<ModArith>(), task_of<ModBrackets>(), task_of<Addition>(), task_of<Polynomial>()}; }

}  // namespace headrace
