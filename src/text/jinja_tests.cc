// Tests: value is name(argument), as jinja2 defines them.
#include "text/jinja_calls.h"
#include "text/unicode.h"

namespace headrace::jinja {
namespace {

const Value& one(const Arguments& arguments, std::string_view who) {
  expect(arguments.positional.size() == 1 && arguments.named.empty(), who, ": expected one argument");
  return arguments.positional[0];
}

template <int sign, bool or_equal>
bool compares(const Value& value, const Arguments& arguments, Budget& budget) {
  const int o = order(value, one(arguments, "is"), budget);
  return o * sign > 0 || (or_equal && o == 0);
}
template <bool wanted>
bool equals(const Value& value, const Arguments& arguments, Budget& budget) {
  return equal(value, one(arguments, "is equalto"), budget) == wanted;
}
template <int rest>
bool parity(const Value& value, const Arguments&, Budget& budget) {
  return equal(arithmetic("%", value, 2, budget), rest, budget);
}
template <bool upper_case>
bool cased(const Value& value, const Arguments&, Budget& budget) {
  return truth(call_method(upper_case ? "isupper" : "islower", make_text(to_text(value, budget), budget), {}, budget));
}
template <bool wanted>
bool is_bool(const Value& value, const Arguments&, Budget&) {
  return value.boolean() && truth(value) == wanted;
}

constexpr std::pair<std::string_view, TestFunction> tests[] = {
    {"!=", equals<false>},
    {"<", compares<-1, false>},
    {"<=", compares<-1, true>},
    {"==", equals<true>},
    {">", compares<1, false>},
    {">=", compares<1, true>},
    {"boolean", [](const Value& v, const Arguments&, Budget&) { return v.boolean(); }},
    {"callable", [](const Value& v, const Arguments&, Budget&) { return v.callable() != nullptr; }},
    {"defined", [](const Value& v, const Arguments&, Budget&) { return !v.undefined(); }},
    {"divisibleby", [](const Value& v, const Arguments& a,
                       Budget& b) { return equal(arithmetic("%", v, one(a, "divisibleby"), b), 0, b); }},
    {"eq", equals<true>},
    {"equalto", equals<true>},
    {"escaped", [](const Value&, const Arguments&, Budget&) { return false; }},
    {"even", parity<0>},
    {"false", is_bool<false>},
    {"filter", [](const Value& v, const Arguments&, Budget&) { return v.text() && find_filter(*v.text()); }},
    {"float", [](const Value& v, const Arguments&, Budget&) { return v.real(); }},
    {"ge", compares<1, true>},
    {"greaterthan", compares<1, false>},
    {"gt", compares<1, false>},
    {"in", [](const Value& v, const Arguments& a, Budget& b) { return contains(one(a, "in"), v, b); }},
    {"integer", [](const Value& v, const Arguments&, Budget&) { return v.integer(); }},
    {"iterable", [](const Value& v, const Arguments&,
                    Budget&) { return v.undefined() || v.text() || v.list() || v.dict() || v.loop(); }},
    {"le", compares<-1, true>},
    {"lessthan", compares<-1, false>},
    {"lower", cased<false>},
    {"lt", compares<-1, false>},
    {"mapping", [](const Value& v, const Arguments&, Budget&) { return v.dict() != nullptr; }},
    {"ne", equals<false>},
    {"none", [](const Value& v, const Arguments&, Budget&) { return v.none(); }},
    {"number", [](const Value& v, const Arguments&, Budget&) { return v.number(); }},
    {"odd", parity<1>},
    {"sameas",
     [](const Value& v, const Arguments& a, Budget& b) {
       const Value& other = one(a, "sameas");
       return v.v.index() == other.v.index() && (v.none() || v.boolean() || v.number() || v.text() ? equal(v, other, b)
                                                 : v.list() ? v.list() == other.list()
                                                 : v.dict() ? v.dict() == other.dict()
                                                            : equal(v, other, b));
     }},
    {"sequence",
     [](const Value& v, const Arguments&, Budget&) {
       return v.undefined() || v.text() || v.dict() || (v.list() && v.list()->kind != List::generator);
     }},
    {"string", [](const Value& v, const Arguments&, Budget&) { return v.text() != nullptr; }},
    {"test", [](const Value& v, const Arguments&, Budget&) { return v.text() && find_test(*v.text()); }},
    {"true", is_bool<true>},
    {"undefined", [](const Value& v, const Arguments&, Budget&) { return v.undefined(); }},
    {"upper", cased<true>},
};

}  // namespace

TestFunction find_test(std::string_view name) {
  for (const auto& [known, function] : tests)
    if (known == name) return function;
  return nullptr;
}

}  // namespace headrace::jinja
