// Parses the statements of a template.
#include "text/jinja_parser.h"

namespace headrace::jinja {

// a   a, b   a, (b, c)   and for set: space.name
ExpressionPtr Parser::target(bool with_space) {
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
void Parser::check_target(const Expression& e, bool with_space) {
  if (e.kind == Expression::tuple) {
    for (const auto& part : e.parts) check_target(*part, with_space);
  } else if (e.kind != Expression::name && !(with_space && e.kind == Expression::attribute)) {
    error("this cannot be assigned to");
  }
}

Body Parser::body_until(std::initializer_list<std::string_view> ends) {
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

void Parser::statement(Statement& s) {
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

void Parser::block(Statement& s, std::string_view end) {
  want_block_end();
  const bool own = s.kind == Statement::macro || s.kind == Statement::call_block;
  const int outer = loops;
  if (own) loops = 0;  // a macro cannot leave the loop around it
  s.body = body_until({end});
  loops = outer;
  ++at;
}

void Parser::for_statement(Statement& s) {
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

void Parser::if_statement(Statement& s) {
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

void Parser::set_statement(Statement& s) {
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
ExpressionPtr Parser::filters(ExpressionPtr e, bool starts) {
  while (starts || skip("|")) {
    starts = false;
    ExpressionPtr f = make(Expression::filter, now().line, want_name());
    add(*f, std::move(e));
    if (is("(")) arguments(*f);
    e = std::move(f);
  }
  return e;
}

void Parser::parameters(Statement& s) {
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

Body parse(std::string_view source) {
  expect(source.size() <= (size_t{256} << 10), "1: a template of ", source.size(), " bytes, at most 262144");
  Parser parser{tokenize(source)};
  return parser.body_until({});
}

}  // namespace headrace::jinja
