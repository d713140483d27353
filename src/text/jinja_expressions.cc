// Parses the expressions of a template.
#include <charconv>

#include "text/jinja_parser.h"

namespace headrace::jinja {

ExpressionPtr Parser::expression() {
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

ExpressionPtr Parser::disjunction() {
  return sequence(
      Expression::or_, [&] { return conjunction(); }, [](Parser& p) { return p.skip_word("or"); });
}
ExpressionPtr Parser::conjunction() {
  return sequence(
      Expression::and_, [&] { return negation(); }, [](Parser& p) { return p.skip_word("and"); });
}
ExpressionPtr Parser::negation() {
  if (!is_word("not")) return comparison();
  Nested nested(*this);
  ExpressionPtr e = make(Expression::not_, now().line);
  ++at;
  add(*e, negation());
  return e;
}
ExpressionPtr Parser::comparison() {
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
ExpressionPtr Parser::additive() {
  return binary([&] { return concatenation(); }, {"+", "-"});
}
ExpressionPtr Parser::concatenation() {
  return sequence(
      Expression::concat, [&] { return multiplicative(); }, [](Parser& p) { return p.skip("~"); });
}
ExpressionPtr Parser::multiplicative() {
  return binary([&] { return power(); }, {"*", "/", "//", "%"});
}
ExpressionPtr Parser::power() {
  return binary([&] { return unary(true); }, {"**"});
}

ExpressionPtr Parser::unary(bool with_filter) {
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

ExpressionPtr Parser::test(ExpressionPtr operand) {
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

ExpressionPtr Parser::primary() {
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

ExpressionPtr Parser::postfix(ExpressionPtr e) {
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

ExpressionPtr Parser::subscript(ExpressionPtr e, int line) {
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

ExpressionPtr Parser::call(ExpressionPtr e) {
  ExpressionPtr c = make(Expression::call, now().line);
  add(*c, std::move(e));
  arguments(*c);
  return c;
}

void Parser::arguments(Expression& e) {
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

}  // namespace headrace::jinja
