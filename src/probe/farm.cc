// Cells of a grid, their run, and what their results say together.
#include "probe/farm.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/nearest.h"
#include "base/ranks.h"
#include "models/blueprint.h"
#include "probe/results.h"

namespace headrace {
namespace {

double number(const std::string& name, const std::string& s, const Range& r) {
  double v = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc() || end != s.data() + s.size() || !std::isfinite(v))
    throw GridError(text("--grid ", name, ": '", quoted(s), "' is no number"));
  if (!(v >= r.least && v <= r.most))
    throw GridError(text("--grid ", name, ": wanted ", option_value(r.least), " to ", option_value(r.most), ", found ", quoted(s)));
  return v;
}
int whole(const std::string& name, const std::string& s, const Range& r) {
  const double v = number(name, s, r);
  if (v != std::floor(v)) throw GridError(text("--grid ", name, ": '", quoted(s), "' is no whole number"));
  return static_cast<int>(v);
}
std::vector<std::string> parameters_of(const std::string& task) {
  std::vector<std::string> names;
  for (const OptionHelp& h : task_by_name(task).options()) names.push_back(h.name);
  return names;
}
void place(Cell& c, const std::string& name, const std::string& value) {
  c.grid.emplace_back(name, value);
  const std::string hole = "{" + name + "}";
  std::vector<std::string> known = parameters_of(c.task);
  if (c.blueprint.find(hole) != std::string::npos) {
    for (size_t at; (at = c.blueprint.find(hole)) != std::string::npos;) c.blueprint.replace(at, hole.size(), value);
  } else if (std::find(known.begin(), known.end(), name) != known.end()) {
    set_parameter(c.set, name + "=" + value);
  } else if (name == "rate") c.rate = number(name, value, CellRanges::rate);
  else if (name == "steps") c.steps = whole(name, value, CellRanges::steps);
  else if (name == "batch") c.batch = whole(name, value, CellRanges::batch);
  else if (name == "until") c.until = number(name, value, CellRanges::until);
  else if (name == "d") {
    Blueprint b = parse_blueprint(c.blueprint);
    b.header.width = whole(name, value, Header::widths);
    c.blueprint = print(b);
  } else {
    known.insert(known.end(), {"rate", "steps", "batch", "until", "d"});
    throw GridError(text("--grid ", quoted(name), ": ", did_you_mean(name, known), "no parameter of ", c.task,
                         ", no rate, steps, batch, until or d, and in no blueprint as ", quoted(hole)));
  }
}

std::string line_of(const Object& result) {
  std::string line = text(text_of(result, "label"), "  rate ", number_of(result, "rate"), " seed ", number_of(result, "seed"));
  for (const Value& v : *result.at("grid").get<Array>())
    if (!v.get<std::string>()->starts_with("rate=")) line += " " + *v.get<std::string>();
  for (const Value& t : *result.at("tests").get<Array>()) line += text("  ", std::round(1000 * number_of(*t.get<Object>(), "accuracy")) / 1000);
  if (result.contains("diverged")) line += text("  diverged at step ", number_of(result, "diverged"));
  return text(line, "  (", static_cast<int64_t>(number_of(result, "cpu_seconds")), " s)");
}
// Two-sided 95 % of Student's distribution.
double student(int64_t degrees) {
  constexpr double t[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
  return degrees <= 10 ? t[degrees - 1] : 1.96 + 2.5 / static_cast<double>(degrees);
}
double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}

// Of one test, over cells: a bucket has as many answers in each, up to what is drawn.
std::vector<Scores::Bucket> by_position(const std::vector<const Object*>& cells, size_t test) {
  std::map<int64_t, Scores::Bucket> all;
  for (const Object* r : cells) {
    const Object& t = *(*r->at("tests").get<Array>())[test].get<Object>();
    if (!t.contains("by_position")) continue;
    for (const Value& v : *t.at("by_position").get<Array>()) {
      const Object& b = *v.get<Object>();
      Scores::Bucket& sum = all[static_cast<int64_t>(number_of(b, "upto"))];
      const double n = number_of(b, "answers");
      sum.answers += static_cast<int64_t>(n), sum.accuracy += n * number_of(b, "accuracy"), sum.loss += n * number_of(b, "loss");
    }
  }
  std::vector<Scores::Bucket> means;
  for (const auto& [upto, b] : all) {
    const double n = static_cast<double>(b.answers);
    means.push_back({upto, b.accuracy / n, b.loss / n, b.answers});
  }
  return means;
}

// A number of one test, over cells; those that have none are left out.
std::vector<double> numbers_of(const std::vector<const Object*>& cells, size_t test, const char* what) {
  std::vector<double> all;
  for (const Object* r : cells)
    if (const double x = number_of(*(*r->at("tests").get<Array>())[test].get<Object>(), what); !std::isnan(x)) all.push_back(x);
  return all;
}
// A cell that diverged, or whose test has no finite loss, has an accuracy of 0, or as little as the worst of the others: of vectors it may be below.
std::vector<double> accuracies(const std::map<double, std::vector<const Object*>>& by_rate, double rate, size_t test) {
  double worst = 0;
  for (const auto& [other, cells] : by_rate)
    for (const double x : numbers_of(cells, test, "accuracy")) worst = std::min(worst, x);
  const std::vector<const Object*>& cells = by_rate.at(rate);
  std::vector<double> all = numbers_of(cells, test, "accuracy");
  for (size_t i = 0; i < all.size(); ++i)
    if (cells[i]->contains("diverged") || std::isnan(number_of(*(*cells[i]->at("tests").get<Array>())[test].get<Object>(), "loss"))) all[i] = worst;
  return all;
}
double mean_of(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size()); }

}  // namespace

std::vector<Cell> cells_of(const Grid& grid) {
  std::vector<Cell> all;
  for (const std::string& blueprint : grid.blueprints) {
    std::vector<Cell> cells{grid.base};
    cells[0].blueprint = cells[0].label = blueprint;
    for (const auto& [name, values] : grid.axes) {
      const std::string hole = "{" + name + "}";           // an axis of other blueprints
      const auto has = [&](const std::string& b) { return b.find(hole) != std::string::npos; };
      if (!has(blueprint) && std::any_of(grid.blueprints.begin(), grid.blueprints.end(), has)) continue;
      std::vector<Cell> next;
      for (const Cell& c : cells)
        for (const std::string& v : values) place(next.emplace_back(c), name, v);
      cells = std::move(next);
    }
    for (const Cell& c : cells)
      for (const uint64_t seed : grid.seeds) all.push_back(c), all.back().seed = seed;
  }
  std::set<std::string> checked, keys;                     // what is wrong is known before anything runs
  for (Cell& c : all) {
    if (c.tests.empty()) c.tests.emplace_back();
    parse_blueprint(c.blueprint);
    Cell data = c;                                         // what the samples depend on, but for the seed
    data.blueprint = "", data.rate = 0, data.steps = data.batch = 0, data.until = 0, data.seed = 0;
    if (checked.insert(data.key()).second) check_cell(c);
    expect(keys.insert(c.key()).second, "probe ", c.task, ": '", c.label, "' is asked for twice: a blueprint or a value of the grid is repeated");
  }
  return all;
}

std::vector<Object> run_cells(const std::vector<Cell>& cells, const std::string& file,
                              const std::function<void(int64_t, int64_t, const std::string&)>& told) {
  std::map<std::string, Object> known;
  std::map<std::string, size_t> wanted;
  for (const Cell& c : cells) wanted[c.key()] = c.tests.size();
  if (rank() == 0) known = read_results(file, wanted);
  std::set<std::string> kept;
  for (const auto& [key, result] : known) kept.insert(key);
  std::vector<int64_t> left;
  for (int64_t i = 0; i < std::ssize(cells); ++i)
    if (kept.insert(cells[static_cast<size_t>(i)].key()).second) left.push_back(i);
  int64_t done = std::ssize(cells) - std::ssize(left);
  if (done && rank() == 0) told(done, std::ssize(cells), text(done, " of ", cells.size(), " cells are in ", file));
  spread(left, [&](int64_t i) { return to_json(run_cell(cells[static_cast<size_t>(i)])); },
         [&](int64_t i, const std::string& line) {
           append_line(file, line);
           Object result = *parse_json(line, file).get<Object>();
           told(++done, std::ssize(cells), line_of(result));
           known[cells[static_cast<size_t>(i)].key()] = std::move(result);
         });
  std::vector<Object> results;
  if (rank() == 0)
    for (const Cell& c : cells) results.push_back(known.at(c.key()));
  return results;
}

std::vector<Summary> summarise(const std::vector<Object>& results) {
  std::vector<Summary> all;
  std::vector<std::map<double, std::vector<const Object*>>> by_rate;     // beside all
  for (const Object& r : results) {
    Summary s;
    s.blueprint = text_of(r, "label");
    for (const Value& v : *r.at("grid").get<Array>())
      if (const std::string& at = *v.get<std::string>(); !at.starts_with("rate=")) s.grid.push_back(at), s.place += (s.place.empty() ? "" : " ") + at;
    size_t at = 0;
    while (at < all.size() && (all[at].blueprint != s.blueprint || all[at].place != s.place)) ++at;
    if (at == all.size()) all.push_back(s), by_rate.emplace_back();
    by_rate[at][number_of(r, "rate")].push_back(&r);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    Summary& s = all[i];
    s.rates = std::ssize(by_rate[i]);
    double best = -INFINITY;
    for (const auto& [rate, cells] : by_rate[i])
      if (const double m = median(accuracies(by_rate[i], rate, 0)); m > best) best = m, s.rate = rate;
    const auto& cells = by_rate[i].at(s.rate);
    s.seeds = std::ssize(cells);
    for (const auto& [rate, others] : by_rate[i]) {
      s.cells += std::ssize(others);
      s.diverged += std::count_if(others.begin(), others.end(), [](const Object* r) { return r->contains("diverged"); });
    }
    for (const Object* r : cells) s.seconds += number_of(*r, "cpu_seconds") / static_cast<double>(cells.size());
    s.weights = static_cast<int64_t>(number_of(*cells[0], "weights")), s.state = static_cast<int64_t>(number_of(*cells[0], "state_bytes"));
    std::vector<double> near;                              // not of cells whose sequences are too long for it
    for (const Object* r : cells)
      if (r->contains("near")) near.push_back(number_of(*r, "near"));
    if (!near.empty()) s.near = mean_of(near);
    for (size_t t = 0; t < cells[0]->at("tests").get<Array>()->size(); ++t) {
      Summary::Test& test = s.tests.emplace_back();
      test.set = joined((*cells[0]->at("tests").get<Array>())[t].get<Object>()->at("set"));
      const std::vector<double> v = accuracies(by_rate[i], s.rate, t);
      const double n = static_cast<double>(v.size());
      double square = 0;
      test.mean = mean_of(v), test.whole = mean_of(numbers_of(cells, t, "whole")), test.loss = mean_of(numbers_of(cells, t, "loss"));
      test.by_position = by_position(cells, t);
      for (const double x : v) square += (x - test.mean) * (x - test.mean);
      if (v.size() > 1) test.half = student(std::ssize(v) - 1) * std::sqrt(square / (n - 1) / n);
      test.median = median(v);
      for (const auto& [rate, others] : by_rate[i])
        for (const double x : accuracies(by_rate[i], rate, t)) test.best = std::max(test.best, x);
    }
  }
  return all;
}

std::string to_csv(const std::vector<Object>& results) {
  std::string out = "task,parameters,label,blueprint,grid,rate,seed,steps,weights,state_bytes,state_tokens,seconds,cpu_seconds,near,"
                    "test,accuracy,standard_error,whole,traced,loss,answers,diverged\n";
  const auto cell = [](std::string s) {
    for (size_t i = 0; (i = s.find('"', i)) != std::string::npos; i += 2) s.insert(i, "\"");
    return "\"" + s + "\"";
  };
  for (const Object& r : results) {
    const std::string grid = joined(r.at("grid"));
    for (const Value& value : *r.at("tests").get<Array>()) {
      const Object& t = *value.get<Object>();
      for (const char* k : {"task", "parameters", "label", "blueprint"}) out += cell(text_of(r, k)) + ",";
      out += cell(grid);
      for (const char* k : {"rate", "seed", "steps", "weights", "state_bytes", "state_tokens", "seconds", "cpu_seconds"})
        out += text(",", number_of(r, k));
      out += r.contains("near") ? text(",", number_of(r, "near")) : ",";
      out += "," + cell(joined(t.at("set")));
      for (const char* k : {"accuracy", "standard_error", "whole", "traced", "loss", "answers"})
        out += std::isnan(number_of(t, k)) ? "," : text(",", number_of(t, k));
      out += r.contains("diverged") ? text(",", number_of(r, "diverged"), "\n") : ",\n";
    }
  }
  return out;
}

}  // namespace headrace
