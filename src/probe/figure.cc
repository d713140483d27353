// The curves as one SVG, without scripts or fonts of its own.
#include <algorithm>
#include <array>
#include <map>

#include <fmt/core.h>

#include "probe/farm.h"

namespace headrace {
namespace {

constexpr std::array colours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"};
constexpr double left = 60, top = 40, width = 420, height = 240;

std::string escaped(const std::string& s) {
  std::string out;
  for (const char c : s) out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return out;
}
std::string label(double x, double y, const std::string& s, const char* anchor = "middle") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, escaped(s));
}

struct Point { size_t x; double y, half; };

}  // namespace

std::string to_svg(const std::vector<Summary>& summaries, const std::string& title) {
  if (summaries.empty()) return "";
  const bool over_tests = summaries[0].tests.size() > 1;
  std::vector<std::string> places;                         // along x
  std::vector<std::pair<std::string, std::vector<Point>>> curves;
  const auto put = [&](const std::string& curve, const std::string& place, const Summary::Test& t) {
    const auto x = std::find(places.begin(), places.end(), place) - places.begin();
    if (x == std::ssize(places) && !place.empty()) places.push_back(place);
    auto found = std::find_if(curves.begin(), curves.end(), [&](const auto& c) { return c.first == curve; });
    if (found == curves.end()) found = curves.insert(curves.end(), {curve, {}});
    found->second.push_back({static_cast<size_t>(x), t.mean, t.half});
  };
  // A summary without a place (its blueprint has not the axis) comes after those that have one: a level across all.
  std::vector<Summary> placed = summaries;
  std::stable_sort(placed.begin(), placed.end(), [](const Summary& a, const Summary& b) { return !a.grid.empty() && b.grid.empty(); });
  for (const Summary& s : placed) {
    std::string rest;                                      // of the grid, beside the axis that is x
    for (size_t i = over_tests ? 0 : 1; i < s.grid.size(); ++i) rest += " " + s.grid[i];
    if (!over_tests) put(s.blueprint + rest, s.grid.empty() ? "" : s.grid[0], s.tests[0]);
    else for (const Summary::Test& t : s.tests) put(s.blueprint + rest, t.set.empty() ? "as trained" : t.set, t);
  }
  if (places.empty()) places.emplace_back();
  const double total = top + height + 50 + 18 * static_cast<double>(curves.size());
  std::string out = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" font-family=\"sans-serif\" "
                                "font-size=\"11\">\n"
                                "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n", left + width + 40, total);
  out += label(left + width / 2, 20, title);
  const auto x_of = [&](size_t i) { return left + width * (static_cast<double>(i) + 0.5) / static_cast<double>(places.size()); };
  const auto y_of = [&](double v) { return top + height * (1 - std::clamp(v, 0.0, 1.0)); };
  for (const double v : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    out += fmt::format("<path d=\"M{:.1f} {:.1f}h{:.1f}\" stroke=\"#ddd\"/>\n", left, y_of(v), width);
    out += label(left - 8, y_of(v) + 4, fmt::format("{:g}", v), "end");
  }
  for (size_t i = 0; i < places.size(); ++i) out += label(x_of(i), top + height + 18, places[i]);
  for (size_t c = 0; c < curves.size(); ++c) {
    const char* colour = colours[c % colours.size()];
    std::string path;
    for (const Point& p : curves[c].second) {
      if (p.x >= places.size() || places[p.x].empty()) {
        path = fmt::format("M{:.1f} {:.1f}h{:.1f}", left, y_of(p.y), width);
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x_of(p.x), y_of(p.y));
      out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", x_of(p.x), y_of(p.y), colour);
      out += fmt::format("<path d=\"M{:.1f} {:.1f}V{:.1f}\" stroke=\"{}\"/>\n", x_of(p.x), y_of(p.y - p.half), y_of(p.y + p.half), colour);
    }
    const double y = top + height + 40 + 18 * static_cast<double>(c);
    out += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n", path, colour);
    out += fmt::format("<path d=\"M{:.1f} {:.1f}h20\" stroke=\"{}\" stroke-width=\"3\"/>\n", left, y, colour);
    out += label(left + 26, y + 4, curves[c].first, "start");
  }
  return out + "</svg>\n";
}

}  // namespace headrace
