// The parser of chat templates: expressions (jinja_expressions.cc) and statements (jinja_parser.cc). The grammar is
// jinja2's, less template inheritance and imports.
#pragma once
#include <algorithm>
#include <initializer_list>

#include "text/jinja_syntax.h"

namespace headrace::jinja {

inline constexpr int max_nesting = 100, max_tree = 1000;

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

  ExpressionPtr expression();
  ExpressionPtr disjunction();
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr additive();
  ExpressionPtr concatenation();
  ExpressionPtr multiplicative();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filter);
  ExpressionPtr test(ExpressionPtr operand);
  ExpressionPtr primary();
  ExpressionPtr postfix(ExpressionPtr e);
  ExpressionPtr subscript(ExpressionPtr e, int line);
  ExpressionPtr call(ExpressionPtr e);
  void arguments(Expression& e);

  ExpressionPtr target(bool with_space);
  void check_target(const Expression& e, bool with_space);
  Body body_until(std::initializer_list<std::string_view> ends);
  void statement(Statement& s);
  void block(Statement& s, std::string_view end);
  void for_statement(Statement& s);
  void if_statement(Statement& s);
  void set_statement(Statement& s);
  ExpressionPtr filters(ExpressionPtr e, bool starts);
  void parameters(Statement& s);
};

}  // namespace headrace::jinja
