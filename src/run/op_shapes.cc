// An entry's inputs, "q [B,T,H,K]; (h0 [B,H,K,V])", parsed: a letter is one number everywhere, products, quotients and one less follow.
#include "run/op_shapes.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace headrace {
namespace {

struct Wanted {
  std::string name, shape;               // "q", "[B,T,H,K]"
  std::vector<std::string> sizes;
  bool optional;
};
std::vector<Wanted> parse(std::string_view inputs) {
  std::vector<Wanted> all;
  bool optional = false;
  while (!inputs.empty()) {
    std::string_view item = inputs.substr(0, inputs.find(';'));
    inputs.remove_prefix(std::min(inputs.size(), item.size() + 1));
    item.remove_prefix(item.find_first_not_of(' '));
    if (item.front() == '(') optional = true, item.remove_prefix(1);
    if (item.back() == ')') item.remove_suffix(1);
    const size_t space = item.find(' ');
    Wanted w{.name = std::string(item.substr(0, space)), .shape = std::string(item.substr(space + 1)), .sizes = {}, .optional = optional};
    for (std::string_view rest = std::string_view(w.shape).substr(1); !rest.empty();) {
      const size_t end = rest.find_first_of(",]");
      w.sizes.emplace_back(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    all.push_back(std::move(w));
  }
  return all;
}

// What a size must be; -1: whatever is found.
int64_t value_of(const std::string& size, const Sizes& known) {
  auto of = [&](const std::string& name) {
    auto it = known.find(name);
    return it == known.end() ? -1 : it->second;
  };
  if (size[0] >= '0' && size[0] <= '9') {
    size_t digits = 0;
    const int64_t n = std::stoll(size, &digits);
    return digits == size.size() ? n : n * of(size.substr(digits));
  }
  if (size.ends_with("-1")) return of(size.substr(0, size.size() - 2)) - 1;
  if (const size_t slash = size.find('/'); slash != size.npos) return of(size.substr(0, slash)) / of(size.substr(slash + 1));
  if (size.size() > 1 && size[0] == 'n') return of("n") * of(size.substr(1));
  return of(size);
}

// Products of three, in bytes, are then still counts.
int64_t largest(const std::string& size) { return int64_t{1} << (size == "B" || size == "T" ? 30 : 20); }

}  // namespace

Sizes check_inputs(const std::string& op, const char* inputs, const std::map<std::string, Tensor>& in, Sizes known) {
  const std::vector<Wanted> all = parse(inputs);
  std::string missing;
  for (const Wanted& w : all)
    if (!w.optional && !in.contains(w.name)) missing += (missing.empty() ? "" : ", ") + w.name;
  expect(missing.empty(), "op ", op, ": missing inputs: ", missing, "; it takes ", inputs);
  for (const auto& [name, t] : in) {
    expect(std::any_of(all.begin(), all.end(), [&key = name](const Wanted& w) { return w.name == key; }), "op ", op, ": input ", quoted(name),
           " is not known; it takes ", inputs);
  }
  for (const Wanted& w : all) {
    auto it = in.find(w.name);
    if (it == in.end()) continue;
    const Shape& found = it->second.shape();
    std::string values;                  // the sizes in numbers, where they are settled
    bool fits = found.rank() == static_cast<int>(w.sizes.size());
    for (size_t i = 0; i < w.sizes.size(); ++i) {
      const std::string& size = w.sizes[i];
      int64_t n = value_of(size, known);
      if (n < 0 && fits) {
        n = found[static_cast<int>(i)];
        expect(n >= 1 && n <= largest(size), "op ", op, ": input ", w.name, ": wanted ", w.shape, " with ", size, " in 1..", largest(size),
               ", found ", found);
        if (size.find_first_of("/-") == size.npos) known[size] = n;
      }
      if (const size_t slash = size.find('/'); fits && slash != size.npos)
        expect(known.at(size.substr(0, slash)) % known.at(size.substr(slash + 1)) == 0, "op ", op, ": input ", w.name, ": wanted ", w.shape,
               " with ", size, " whole, found ", found);
      values += (i ? "," : "") + (n < 0 ? size : std::to_string(n));
      fits = fits && found[static_cast<int>(i)] == n;
    }
    values = "[" + values + "]";
    expect(fits, "op ", op, ": input ", w.name, ": wanted ", w.shape, values == w.shape ? "" : " = " + values, ", found ", found);
  }
  return known;
}

}  // namespace headrace
