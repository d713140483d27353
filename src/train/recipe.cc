// Three visitors of a recipe's keys: the reader, which collects everything that is wrong, the writer, and the help.
#include "train/recipe.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/nearest.h"
#include "nn/config.h"
#include "train/toml.h"

namespace headrace {
namespace {

const char* kind_of(bool) { return "true or false"; }
const char* kind_of(int64_t) { return "an integer"; }
const char* kind_of(double) { return "a number"; }
const char* kind_of(const std::string&) { return "text"; }
std::string shown(const Value& v) {
  const std::string s = to_json(v);
  return s.size() > 60 ? s.substr(0, 57) + "..." : s;
}

class Reader {
 public:
  Reader(const Value& root, const Toml& toml, std::string file) : at_(&root), toml_(toml), file_(std::move(file)) {}

  template <class T, class O>
  void operator()(const char* key, T& field, const O& otherwise, const char*, const Range& range = {}) {
    field = T(otherwise);
    const Value* v = find(key);
    if (!v) return;
    T x{};
    if (!read_value(*v, x)) return wrong(key, kind_of(field), *v);
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
      if (!(static_cast<double>(x) >= range.least && static_cast<double>(x) <= range.most))
        return wrong(key, text(std::is_same_v<T, int64_t> ? "an integer" : "a number", " from ", T(range.least), " to ", T(range.most)), *v);
    field = x;
  }
  void operator()(const char* key, std::string& field, const char* otherwise, const char*, const Choice& choice) {
    field = otherwise;
    const Value* v = find(key);
    if (!v) return;
    const std::string* s = v->get<std::string>();
    if (s && std::find(choice.of.begin(), choice.of.end(), *s) != choice.of.end()) {
      field = *s;
      return;
    }
    wrong(key, "one of " + listed(choice.of), *v);
  }
  void operator()(const char* key, std::vector<std::string>& field, const char*) {
    if (const Value* v = find(key); v && !read_value(*v, field)) wrong(key, "a list of texts", *v);
  }
  void files(const char* key, std::vector<DataFile>& field, const char*) {
    const Value* v = find(key);
    if (!v) return;
    Array one;
    if (v->get<std::string>()) one = {*v};
    const Array* all = one.empty() ? v->get<Array>() : &one;
    if (!all) return wrong(key, "a list of paths or tables", *v);
    for (const Value& e : *all) {
      DataFile f;
      if (const std::string* path = e.get<std::string>()) f.path = *path;
      else if (!file_table(e, f)) return wrong(key, "paths, or tables of path, weight (above 0) and field", e);
      field.push_back(std::move(f));
    }
  }
  void groups(const char* key, std::map<std::string, std::map<std::string, double>>& field, const char*) {
    const Value* v = find(key);
    if (!v) return;
    const Object* all = v->get<Object>();
    if (!all) return wrong(key, "tables by the groups' names", *v);
    for (const auto& [name, g] : *all) {
      const Object* values = g.get<Object>();
      if (!values) return wrong(text(key, ".", name), "a table of rate and decay", g);
      for (const auto& [k, x] : *values) {
        double d = 0;
        if ((k != "rate" && k != "decay") || !read_value(x, d) || d < 0) return wrong(text(key, ".", name), "rate and decay, numbers from 0", g);
        field[name][k] = d;
      }
    }
  }
  template <class P>
  void part(const char* key, P& p) {
    static const Value none{Object{}};
    const Value* v = find(key);
    if (v && !v->get<Object>()) wrong(key, "a table", *v), v = nullptr;
    Reader inner(v ? *v : none, toml_, file_);
    inner.path_ = path_ + key + ".";
    p.visit(inner);
    inner.unknown();
    faults_.insert(faults_.end(), inner.faults_.begin(), inner.faults_.end());
  }
  void unknown() {
    for (const auto& [key, v] : *at_->get<Object>())
      if (!known_.contains(key))
        faults_.push_back(text(place(key), path_, quoted(key).substr(0, 60), ": no such key, found ", shown(v), "; ",
                               did_you_mean(key, order_),
                               path_.empty() ? "a recipe" : "[" + path_.substr(0, path_.size() - 1) + "]", " has ", listed(order_)));
  }
  void finish() {
    unknown();
    std::string all;
    for (const std::string& f : faults_) all += (all.empty() ? "" : "; ") + f;
    expect(all.empty(), file_, ": ", all);
  }

 private:
  const Value* find(const char* key) {
    known_.insert(key), order_.push_back(key);
    return at_->find(key);
  }
  static bool file_table(const Value& e, DataFile& f) {
    const Object* o = e.get<Object>();
    if (!o || !e.find("path")) return false;
    for (const auto& [k, x] : *o)
      if (!(k == "path" ? read_value(x, f.path) : k == "field" ? read_value(x, f.field) : k == "weight" && read_value(x, f.weight) && f.weight > 0))
        return false;
    return true;
  }
  std::string place(const std::string& key) const {            // where the file has a line for it
    const auto it = toml_.lines.find(path_ + key);
    return it == toml_.lines.end() ? "" : text("line ", it->second, ": ");
  }
  void wrong(const std::string& key, const std::string& wanted, const Value& found) {
    faults_.push_back(text(place(key), path_, key, ": wanted ", wanted, ", found ", shown(found)));
  }
  const Value* at_;
  const Toml& toml_;
  std::string file_, path_;
  std::set<std::string> known_;
  std::vector<std::string> order_, faults_;
};

struct Writer {
  Object out;
  template <class T>
  void operator()(const char* key, T& field, const auto&...) {
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      Array all;
      for (const std::string& s : field) all.push_back(s);
      out[key] = all;
    } else {
      out[key] = field;
    }
  }
  void files(const char* key, std::vector<DataFile>& field, const char*) {
    Array all;
    for (const DataFile& f : field) all.push_back(Object{{"path", f.path}, {"field", f.field}, {"weight", f.weight}});
    out[key] = all;
  }
  void groups(const char* key, std::map<std::string, std::map<std::string, double>>& field, const char*) {
    Object all;
    for (const auto& [name, g] : field) {
      Object o;
      for (const auto& [k, x] : g) o[k] = x;
      all[name] = o;
    }
    out[key] = all;
  }
  template <class P>
  void part(const char* key, P& p) {
    Writer w;
    p.visit(w);
    out[key] = w.out;
  }
};

struct Help {
  std::string out, path;
  void line(const char* key, const std::string& otherwise, const char* help) {
    std::string name = path + key, left = name + std::string(name.size() < 24 ? 24 - name.size() : 1, ' ') + otherwise;
    out += left + std::string(left.size() < 40 ? 40 - left.size() : 1, ' ') + help + "\n";
  }
  template <class T, class O>
  void operator()(const char* key, T&, const O& otherwise, const char* help, const auto&...) {
    line(key, to_json(Value(T(otherwise))), help);
  }
  void operator()(const char* key, std::vector<std::string>&, const char* help) { line(key, "[]", help); }
  void files(const char* key, std::vector<DataFile>&, const char* help) { line(key, "[]", help); }
  void groups(const char* key, std::map<std::string, std::map<std::string, double>>&, const char* help) { line(key, "{}", help); }
  template <class P>
  void part(const char* key, P& p) {
    Help h{.path = path + key + "."};
    p.visit(h);
    out += h.out;
  }
};

// root.a.b.c = value, tables made where there are none.
void put(Value& root, const std::string& path, const Value& value, const std::string& set) {
  Value* at = &root;
  for (size_t begin = 0;;) {
    const size_t dot = path.find('.', begin);
    const std::string key = path.substr(begin, dot == path.npos ? dot : dot - begin);
    Object* o = std::get_if<Object>(&at->v);
    expect(o && !key.empty(), "--set ", quoted(set), ": wanted key=value, as in optimizer.rate=1e-3");
    at = &(*o)[key];
    if (dot == path.npos) break;
    if (at->is_null()) *at = Object{};
    begin = dot + 1;
  }
  *at = value;
}

}  // namespace

Recipe parse_recipe(std::string_view bytes, const std::string& file, const std::vector<std::string>& sets) {
  Toml toml = parse_toml(bytes, file);
  for (const std::string& set : sets) {
    const size_t is = set.find('=');
    expect(is != set.npos && is > 0, "--set ", quoted(set), ": wanted key=value, as in optimizer.rate=1e-3");
    put(toml.root, set.substr(0, is), toml_value(set.substr(is + 1)), set);
    toml.lines.erase(set.substr(0, is));
  }
  Recipe r{.file = file};
  Reader reader(toml.root, toml, file);
  r.visit(reader);
  reader.finish();
  expect(r.model.blueprint.empty() != r.model.checkpoint.empty(), file, ": [model]: wanted blueprint or checkpoint, found ",
         r.model.blueprint.empty() ? "neither" : "both");
  expect(!r.data.train.empty(), file, ": data.train: wanted at least one file, found none");
  expect(r.model.tune == "full" || !r.model.checkpoint.empty(), file, ": model.tune: ", r.model.tune, " wants model.checkpoint");
  expect(!r.data.carry || r.model.tune != "state", file, ": data.carry: with model.tune = \"state\" sequences begin with the state that is trained");
  return r;
}
Recipe read_recipe(const std::string& path, const std::vector<std::string>& sets) {
  return parse_recipe(read_text(path, size_t{1} << 20), path, sets);
}
Value to_value(const Recipe& r) {
  Recipe copy = r;
  Writer w;
  copy.visit(w);
  return w.out;
}
std::string recipe_help() {
  Recipe r;
  Help h;
  r.visit(h);
  return h.out;
}

std::vector<std::string> differences(const Value& before, const Value& now) {
  const std::set<std::string> free{"train.steps", "save.folder", "save.every", "save.dtype", "report.every", "report.eval_every",
                                   "report.eval_tokens", "report.tensorboard", "data.valid"};
  // A key that was not known then had the value that is now its default.
  static const Value otherwise = [] {
    const Value none{Object{}};
    const Toml nowhere;
    Recipe r;
    Reader reader(none, nowhere, "");
    r.visit(reader);
    return to_value(r);
  }();
  constexpr int64_t most = 20;                           // a saved run may say anything
  std::vector<std::string> all;
  using Compare = void(const Value&, const Value&, const Value&, const std::string&);
  const std::function<Compare> compare = [&](const Value& a, const Value& b, const Value& o, const std::string& path) {
    const Object *x = a.get<Object>(), *y = b.get<Object>(), *z = o.get<Object>();
    if (!x || !y) {
      if (to_json(a) == to_json(b) || free.contains(path)) return;
      if (std::ssize(all) == most) all.push_back("and more");
      if (std::ssize(all) < most) all.push_back(text(quoted(path).substr(0, 60), " was ", shown(a), " and is ", shown(b)));
      return;
    }
    std::set<std::string> keys;
    for (const auto& [k, v] : *x) keys.insert(k);
    for (const auto& [k, v] : *y) keys.insert(k);
    static const Value none;
    for (const std::string& k : keys) {
      const Value& usual = z && z->contains(k) ? z->at(k) : none;
      compare(x->contains(k) ? x->at(k) : usual, y->contains(k) ? y->at(k) : none, usual, path.empty() ? k : path + "." + k);
    }
  };
  compare(before, now, otherwise, "");
  return all;
}

}  // namespace headrace
