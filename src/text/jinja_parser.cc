// The parser of chat templates: jinja2's grammar, less template inheritance and imports.
#include <algorithm>
#include <charconv>

#include "text/jinja_syntax.h"

namespace headrace::jinja {
namespace {

constexpr int max_nesting = 100, max_tree = 1000;

struct Parser {
  std::vector<Token> tokens;
  size_t at = 0;
  int nesting = 0, loops = 0;

  struct Nested {
    Parser& p;
    explicit Nested(Parser& parser) : p(parser) {
      if (++p.nesting > max_nesting) p.error(text("nested deeper than ", max_nesting));
    }
    ~Nested() { --p.nesting; }
  };

  const Token& now() const { return tokens[at]; }
  [[noreturn]] void error(std::string_view what) const { fail(now().line, ": ", what); }
  bool is(std::string_view symbol) const { return now().kind == Token::symbol && now().value == symbol; }
  bool is_word(std::string_view word) const { return now().kind == Token::name && now().value == word; }
  bool skip(std::string_view symbol) { return is(symbol) && (++at, true); }
  bool skip_word(std::string_view word) { return is_word(word) && (++at, true); }
  std::string found() const {
    switch (now().kind) {
      case Token::end:
        return "the end";
      case Token::data:
        return "text";
      case Token::output_begin:
        return "{{";
      case Token::output_end:
        return "}}";
      case Token::block_begin:
        return "{%";
      case Token::block_end:
        return "%}";
      default:
        return text("'", std::string_view(now().value).substr(0, 40), "'");
    }
  }
  void want(std::string_view symbol) {
    if (!skip(symbol)) error(text("expected '", symbol, "', found ", found()));
  }
  std::string want_name() {
    if (now().kind != Token::name) error(text("expected a name, found ", found()));
    return tokens[at++].value;
  }
  void want_block_end() {
    if (now().kind != Token::block_end) error(text("expected %}, found ", found()));
    ++at;
  }

  ExpressionPtr make(Expression::Kind kind, int line, std::string name = {}) {
    auto e = std::make_unique<Expression>();
    e->kind = kind;
    e->line = line;
    e->text = std::move(name);
    return e;
  }
  void add(Expression& e, ExpressionPtr part) {
    if (part) deepen(e, *part);
    e.parts.push_back(std::move(part));
  }
  void deepen(Expression& e, const Expression& part) {
    e.depth = std::max(e.depth, part.depth + 1);
    if (e.depth > max_tree) error("an expression that is too long");
  }

  ExpressionPtr expression() {
    Nested nested(*this);
    int line = now().line;
    ExpressionPtr e = disjunction();
    while (skip_word("if")) {
      ExpressionPtr both = make(Expression::conditional, line);
      add(*both, std::move(e));
      add(*both, disjunction());
      add(*both, skip_word("else") ? expression() : nullptr);
      e = std::move(both);
      line = now().line;
    }
    return e;
  }

  template <class Next>
  ExpressionPtr sequence(Expression::Kind kind, Next next, bool (*more)(Parser&)) {
    const int line = now().line;
    ExpressionPtr e = next();
    if (!more(*this)) return e;
    ExpressionPtr all = make(kind, line);
    add(*all, std::move(e));
    do add(*all, next());
    while (more(*this));
    return all;
  }
  ExpressionPtr disjunction() {
    return sequence(
        Expression::or_, [&] { return conjunction(); }, [](Parser& p) { return p.skip_word("or"); });
  }
  ExpressionPtr conjunction() {
    return sequence(
        Expression::and_, [&] { return negation(); }, [](Parser& p) { return p.skip_word("and"); });
  }
  ExpressionPtr negation() {
    if (!is_word("not")) return comparison();
    Nested nested(*this);
    ExpressionPtr e = make(Expression::not_, now().line);
    ++at;
    add(*e, negation());
    return e;
  }
  ExpressionPtr comparison() {
    ExpressionPtr e = make(Expression::compare, now().line);
    add(*e, additive());
    while (true) {
      std::string op;
      if (now().kind == Token::symbol && (now().value == "==" || now().value == "!=" || now().value == "<" ||
                                          now().value == ">" || now().value == "<=" || now().value == ">=")) {
        op = now().value;
      } else if (is_word("in")) {
        op = "in";
      } else if (is_word("not") && tokens[at + 1].kind == Token::name && tokens[at + 1].value == "in") {
        op = "not in";
        ++at;
      } else {
        break;
      }
      ++at;
      e->operators.push_back(std::move(op));
      add(*e, additive());
    }
    return e->operators.empty() ? std::move(e->parts[0]) : std::move(e);
  }
  template <class Next>
  ExpressionPtr binary(Next next, std::initializer_list<std::string_view> operators) {
    ExpressionPtr e = next();
    while (now().kind == Token::symbol &&
           std::find(operators.begin(), operators.end(), now().value) != operators.end()) {
      ExpressionPtr both = make(Expression::arithmetic, now().line, now().value);
      ++at;
      add(*both, std::move(e));
      add(*both, next());
      e = std::move(both);
    }
    return e;
  }
  ExpressionPtr additive() {
    return binary([&] { return concatenation(); }, {"+", "-"});
  }
  ExpressionPtr concatenation() {
    return sequence(
        Expression::concat, [&] { return multiplicative(); }, [](Parser& p) { return p.skip("~"); });
  }
  ExpressionPtr multiplicative() {
    return binary([&] { return power(); }, {"*", "/", "//", "%"});
  }
  ExpressionPtr power() {
    return binary([&] { return unary(true); }, {"**"});
  }

  ExpressionPtr unary(bool with_filter) {
    Nested nested(*this);
    ExpressionPtr e;
    if (is("-") || is("+")) {
      e = make(is("-") ? Expression::negate : Expression::plus, now().line);
      ++at;
      add(*e, unary(false));
    } else {
      e = primary();
    }
    e = postfix(std::move(e));
    while (with_filter) {
      if (skip("|")) {
        ExpressionPtr f = make(Expression::filter, now().line, want_name());
        add(*f, std::move(e));
        if (is("(")) arguments(*f);
        e = std::move(f);
      } else if (is_word("is")) {
        e = test(std::move(e));
      } else if (is("(")) {
        e = call(std::move(e));
      } else {
        break;
      }
    }
    return e;
  }

  ExpressionPtr test(ExpressionPtr operand) {
    const int line = now().line;
    ++at;
    const bool negated = skip_word("not");
    ExpressionPtr t = make(Expression::test, line, want_name());
    add(*t, std::move(operand));
    const Token::Kind kind = now().kind;
    if (is("(")) {
      arguments(*t);
    } else if (((kind == Token::name && !is_word("else") && !is_word("or") && !is_word("and")) || kind == Token::text ||
                kind == Token::integer || kind == Token::real || is("[") || is("{"))) {
      if (is_word("is")) error("tests cannot be chained with is");
      add(*t, postfix(primary()));
    }
    if (!negated) return t;
    ExpressionPtr e = make(Expression::not_, line);
    add(*e, std::move(t));
    return e;
  }

  ExpressionPtr primary() {
    const Token token = now();
    const auto constant = [&](Value value) {
      ExpressionPtr e = make(Expression::constant, token.line);
      e->value = std::move(value);
      return e;
    };
    switch (token.kind) {
      case Token::name:
        ++at;
        if (token.value == "true" || token.value == "True") return constant(true);
        if (token.value == "false" || token.value == "False") return constant(false);
        if (token.value == "none" || token.value == "None") return constant(None{});
        return make(Expression::name, token.line, token.value);
      case Token::text: {
        std::string joined;
        while (now().kind == Token::text) joined += tokens[at++].value;
        return constant(Value(std::make_shared<std::string>(std::move(joined))));
      }
      case Token::integer: {
        int64_t n = 0;
        const auto end = std::from_chars(token.value.data(), token.value.data() + token.value.size(), n);
        if (end.ec != std::errc()) error("an integer of more than 64 bits");
        ++at;
        return constant(n);
      }
      case Token::real: {
        double d = 0;
        std::from_chars(token.value.data(), token.value.data() + token.value.size(), d);
        ++at;
        return constant(d);
      }
      default:
        break;
    }
    if (skip("(")) {
      ExpressionPtr e = tuple([&] { return expression(); }, true);
      want(")");
      return e;
    }
    if (skip("[")) {
      ExpressionPtr e = make(Expression::list, token.line);
      while (!is("]")) {
        if (!e->parts.empty()) want(",");
        if (is("]")) break;
        add(*e, expression());
      }
      want("]");
      return e;
    }
    if (skip("{")) {
      ExpressionPtr e = make(Expression::dict, token.line);
      while (!is("}")) {
        if (!e->parts.empty()) want(",");
        if (is("}")) break;
        add(*e, expression());
        want(":");
        add(*e, expression());
      }
      want("}");
      return e;
    }
    error(text("unexpected ", found()));
  }

  // One expression, or several with commas: a tuple.
  template <class Next>
  ExpressionPtr tuple(Next next, bool in_parentheses) {
    ExpressionPtr all = make(Expression::tuple, now().line);
    bool comma = false;
    while (true) {
      const Token::Kind kind = now().kind;
      if (is(")") || kind == Token::output_end || kind == Token::block_end || is_word("in")) break;
      add(*all, next());
      if (!skip(",")) break;
      comma = true;
    }
    if (!comma && all->parts.size() == 1) return std::move(all->parts[0]);
    if (!comma && !in_parentheses) error(text("expected an expression, found ", found()));
    return all;
  }

  ExpressionPtr postfix(ExpressionPtr e) {
    while (true) {
      const int line = now().line;
      if (skip(".")) {
        ExpressionPtr a;
        if (now().kind == Token::integer) {
          a = make(Expression::item, line);
          add(*a, std::move(e));
          add(*a, primary());
        } else {
          a = make(Expression::attribute, line, want_name());
          add(*a, std::move(e));
        }
        e = std::move(a);
      } else if (skip("[")) {
        e = subscript(std::move(e), line);
      } else if (is("(")) {
        e = call(std::move(e));
      } else {
        return e;
      }
    }
  }

  ExpressionPtr subscript(ExpressionPtr e, int line) {
    ExpressionPtr bounds[3];
    int n = 0;
    bool colon = false;
    if (!is(":")) bounds[0] = expression();
    while (n < 2 && skip(":")) {
      colon = true;
      ++n;
      if (!is(":") && !is("]")) bounds[n] = expression();
    }
    want("]");
    ExpressionPtr s = make(colon ? Expression::slice : Expression::item, line);
    add(*s, std::move(e));
    add(*s, std::move(bounds[0]));
    for (int i = 1; colon && i < 3; ++i) add(*s, std::move(bounds[i]));
    return s;
  }

  ExpressionPtr call(ExpressionPtr e) {
    ExpressionPtr c = make(Expression::call, now().line);
    add(*c, std::move(e));
    arguments(*c);
    return c;
  }

  void arguments(Expression& e) {
    want("(");
    for (bool first = true; !is(")"); first = false) {
      if (!first) want(",");
      if (is(")")) break;
      if (skip("*")) {
        if (e.star || e.stars) error("a second *");
        e.star = expression();
        deepen(e, *e.star);
      } else if (skip("**")) {
        if (e.stars) error("a second **");
        e.stars = expression();
        deepen(e, *e.stars);
      } else if (now().kind == Token::name && tokens[at + 1].kind == Token::symbol && tokens[at + 1].value == "=") {
        std::string name = want_name();
        ++at;
        ExpressionPtr value = expression();
        deepen(e, *value);
        e.named.emplace_back(std::move(name), std::move(value));
      } else {
        if (!e.named.empty() || e.star || e.stars) error("an argument after a named one");
        add(e, expression());
      }
    }
    want(")");
  }

  // a   a, b   a, (b, c)   and for set: space.name
  ExpressionPtr target(bool with_space) {
    ExpressionPtr e = tuple(
        [&] {
          ExpressionPtr one = primary();
          if (with_space && one->kind == Expression::name && skip(".")) {
            ExpressionPtr a = make(Expression::attribute, one->line, want_name());
            add(*a, std::move(one));
            return a;
          }
          return one;
        },
        false);
    check_target(*e, with_space);
    return e;
  }
  void check_target(const Expression& e, bool with_space) {
    if (e.kind == Expression::tuple) {
      for (const auto& part : e.parts) check_target(*part, with_space);
    } else if (e.kind != Expression::name && !(with_space && e.kind == Expression::attribute)) {
      error("this cannot be assigned to");
    }
  }

  Body body_until(std::initializer_list<std::string_view> ends) {
    Nested nested(*this);
    Body body;
    while (true) {
      const Token& token = now();
      Statement s;
      s.line = token.line;
      if (token.kind == Token::end) {
        if (ends.size()) error(text("expected {% ", *(ends.end() - 1), " %}, found the end"));
        return body;
      }
      if (token.kind == Token::data) {
        s.text = std::move(tokens[at++].value);
      } else if (token.kind == Token::output_begin) {
        ++at;
        s.kind = Statement::output;
        s.value = tuple([&] { return expression(); }, false);
        if (now().kind != Token::output_end) error(text("expected }}, found ", found()));
        ++at;
      } else {
        ++at;
        if (now().kind == Token::name && std::find(ends.begin(), ends.end(), now().value) != ends.end()) return body;
        statement(s);
        want_block_end();
      }
      body.push_back(std::move(s));
    }
  }

  void statement(Statement& s) {
    const std::string word = want_name();
    if (word == "for") {
      for_statement(s);
    } else if (word == "if") {
      if_statement(s);
    } else if (word == "set") {
      set_statement(s);
    } else if (word == "macro") {
      s.kind = Statement::macro;
      s.text = want_name();
      parameters(s);
      block(s, "endmacro");
    } else if (word == "call") {
      s.kind = Statement::call_block;
      if (is("(")) parameters(s);
      s.value = unary(true);
      if (s.value->kind != Expression::call) error("expected a call");
      block(s, "endcall");
    } else if (word == "filter") {
      s.kind = Statement::filter_block;
      s.value = filters(nullptr, true);
      block(s, "endfilter");
    } else if (word == "with") {
      s.kind = Statement::with;
      while (now().kind != Token::block_end) {
        if (!s.parameters.empty()) want(",");
        std::string name = want_name();
        want("=");
        s.parameters.emplace_back(std::move(name), expression());
      }
      block(s, "endwith");
    } else if (word == "generation") {
      s.kind = Statement::generation;
      block(s, "endgeneration");
    } else if (word == "break" || word == "continue") {
      if (!loops) error(text(word, " outside a loop"));
      s.kind = word == "break" ? Statement::break_ : Statement::continue_;
    } else {
      error(text("unknown tag '", std::string_view(word).substr(0, 40), "'"));
    }
  }

  void block(Statement& s, std::string_view end) {
    want_block_end();
    const bool own = s.kind == Statement::macro || s.kind == Statement::call_block;
    const int outer = loops;
    if (own) loops = 0;  // a macro cannot leave the loop around it
    s.body = body_until({end});
    loops = outer;
    ++at;
  }

  void for_statement(Statement& s) {
    s.kind = Statement::for_;
    s.target = target(false);
    if (!skip_word("in")) error(text("expected 'in', found ", found()));
    s.value = tuple([&] { return disjunction(); }, false);
    if (skip_word("if")) s.condition = expression();
    if (is_word("recursive")) error("recursive loops are not supported");
    want_block_end();
    ++loops;
    s.body = body_until({"else", "endfor"});
    --loops;
    if (skip_word("else")) {
      want_block_end();
      s.otherwise = body_until({"endfor"});
    }
    ++at;
  }

  void if_statement(Statement& s) {
    s.kind = Statement::if_;
    while (true) {
      Branch branch;
      branch.condition = tuple([&] { return disjunction(); }, false);
      want_block_end();
      branch.body = body_until({"elif", "else", "endif"});
      s.branches.push_back(std::move(branch));
      if (skip_word("elif")) continue;
      if (skip_word("else")) {
        want_block_end();
        s.branches.push_back({nullptr, body_until({"endif"})});
      }
      ++at;
      return;
    }
  }

  void set_statement(Statement& s) {
    s.kind = Statement::set;
    s.target = target(true);
    if (skip("=")) {
      s.value = tuple([&] { return expression(); }, false);
      return;
    }
    s.kind = Statement::set_block;
    if (is("|")) s.value = filters(nullptr, false);
    block(s, "endset");
  }

  // A chain of filters whose first operand comes later.
  ExpressionPtr filters(ExpressionPtr e, bool starts) {
    while (starts || skip("|")) {
      starts = false;
      ExpressionPtr f = make(Expression::filter, now().line, want_name());
      add(*f, std::move(e));
      if (is("(")) arguments(*f);
      e = std::move(f);
    }
    return e;
  }

  void parameters(Statement& s) {
    want("(");
    while (!is(")")) {
      if (!s.parameters.empty()) want(",");
      if (is(")")) break;
      std::string name = want_name();
      ExpressionPtr otherwise;
      if (skip("=")) {
        otherwise = expression();
      } else if (!s.parameters.empty() && s.parameters.back().second) {
        error("a parameter without a default after one with");
      }
      s.parameters.emplace_back(std::move(name), std::move(otherwise));
    }
    want(")");
  }
};

}  // namespace

Body parse(std::string_view source) {
  expect(source.size() <= (size_t{256} << 10), "1: a template of ", source.size(), " bytes, at most 262144");
  Parser parser{tokenize(source)};
  return parser.body_until({});
}

}  // namespace headrace::jinja
