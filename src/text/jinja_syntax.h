// A chat template as a tree: what the parser makes and the renderer walks.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace headrace::jinja {

struct Token {
  enum Kind {
    data,
    output_begin,
    output_end,
    block_begin,
    block_end,
    name,
    integer,
    real,
    text,
    symbol,
    end
  } kind = end;
  std::string value;  // text: unescaped
  int line = 1;
};
// Data and what is inside the tags, with white space taken away as trim_blocks and lstrip_blocks ask.
std::vector<Token> tokenize(std::string_view source);  // throws Error that begins with "LINE: "

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;
struct Expression {
  enum Kind {
    constant,   // value
    name,       // name
    list,       // parts
    tuple,      // parts
    dict,       // parts: key, value, key, value...
    attribute,  // parts[0].name
    item,       // parts[0][parts[1]]
    slice,      // parts[0][parts[1] : parts[2] : parts[3]], null where left out
    call,       // parts[0](parts[1]..., named, *star, **stars)
    filter,     // parts[0] | name(the same arguments); parts[0] null: the text of a filter block
    test,       // parts[0] is name(the same arguments)
    negate,
    plus,
    not_,
    and_,
    or_,
    arithmetic,   // parts[0] name parts[1]
    concat,       // parts
    compare,      // parts[0] operators[0] parts[1] operators[1] parts[2]...
    conditional,  // parts[0] if parts[1] else parts[2] (null: undefined)
  } kind = constant;
  int line = 1, depth = 1;
  std::string text;  // name
  Value value;
  std::vector<ExpressionPtr> parts;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> operators;
  ExpressionPtr star, stars;
};

struct Statement;
using Body = std::vector<Statement>;
struct Branch {
  ExpressionPtr condition;  // null: else
  Body body;
};
struct Statement {
  enum Kind {
    data,          // text
    output,        // value
    for_,          // target, value, condition (or null), body, otherwise
    if_,           // branches
    set,           // target, value
    set_block,     // target, body, value: filters or null
    macro,         // text, parameters, body
    call_block,    // value: the call; parameters, body
    filter_block,  // value: the filters; body
    with,          // parameters, body
    break_,
    continue_,
    generation,  // body
  } kind = data;
  int line = 1;
  std::string text;
  ExpressionPtr target, value, condition;
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;  // null: no default
  std::vector<Branch> branches;
  Body body, otherwise;
};

Body parse(std::string_view source);  // throws Error that begins with "LINE: "

}  // namespace headrace::jinja
