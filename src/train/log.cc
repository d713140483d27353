// Appending is by whole lines and records; a line cut by a kill is dropped when the log is opened again.
#include "train/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "nn/value.h"

namespace headrace {
namespace {

void append_to(const std::string& path, const std::string& bytes) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> f(std::fopen(path.c_str(), "ab"), std::fclose);
  expect(f != nullptr, path, ": cannot write: ", std::strerror(errno));
  expect(std::fwrite(bytes.data(), 1, bytes.size(), f.get()) == bytes.size() && std::fflush(f.get()) == 0, path, ": cannot write: ",
         std::strerror(errno));
}
std::string line_of(const std::map<std::string, double>& values) {
  std::string s = "{";
  for (const auto& [key, v] : values) {
    const bool whole = v == std::floor(v) && std::abs(v) < 1e15;
    const std::string number = whole ? fmt::format("{}", static_cast<int64_t>(v)) : std::isfinite(v) ? fmt::format("{:.6g}", v) : "null";
    s += fmt::format("{}\"{}\": {}", s.size() > 1 ? ", " : "", key, number);
  }
  return s + "}\n";
}

}  // namespace

RunLog::RunLog(std::string path, int64_t step) : path_(std::move(path)) {
  std::string kept;
  if (file_exists(path_)) {
    const std::string all = read_text(path_);
    for (size_t begin = 0, end; (end = all.find('\n', begin)) != all.npos; begin = end + 1) {
      std::map<std::string, double> values;
      try {
        const Value v = parse_json(std::string_view(all).substr(begin, end - begin), path_);
        if (const Object* o = v.get<Object>())
          for (const auto& [key, x] : *o) {
            if (const double* d = x.get<double>()) values[key] = *d;
            if (const int64_t* i = x.get<int64_t>()) values[key] = static_cast<double>(*i);
          }
      } catch (const Error&) {
      }
      if (!values.contains("step") || values["step"] > static_cast<double>(step)) continue;
      lines_.push_back(values), kept += line_of(values);
    }
  }
  write_atomic(path_, [&](const Sink& sink) { sink(kept.data(), kept.size()); });
}
void RunLog::add(const std::map<std::string, double>& values) {
  append_to(path_, line_of(values));
  lines_.push_back(values);
}
std::vector<Series> RunLog::series(const std::vector<std::string>& keys) const {
  std::vector<Series> all;
  for (const std::string& key : keys) {
    Series s{key, {}};
    for (const auto& l : lines_)
      if (const auto v = l.find(key); v != l.end() && std::isfinite(v->second)) s.points.push_back({l.at("step"), v->second});
    if (!s.points.empty()) all.push_back(std::move(s));
  }
  return all;
}

std::string curve_svg(const std::string& title, const std::vector<Series>& series) {
  constexpr double W = 720, H = 400, left = 60, right = 20, top = 36, bottom = 44;
  double x1 = 1, low = HUGE_VAL, high = -HUGE_VAL;
  for (const Series& s : series)
    for (const Point& p : s.points)
      if (p.y > 0) x1 = std::max(x1, p.x), low = std::min(low, p.y), high = std::max(high, p.y);
  if (!(low < high)) low = std::isfinite(low) ? low / 2 : 0.5, high = 4 * low;
  const auto X = [&](double x) { return left + x / x1 * (W - left - right); };
  const auto Y = [&](double y) { return H - bottom - (std::log(y) - std::log(low)) / (std::log(high) - std::log(low)) * (H - top - bottom); };
  std::string escaped;
  for (char c : title) escaped += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{}\" y=\"20\" font-size=\"14\">{}</text>\n", W, H, W, H, left, escaped);
  for (int i = 0; i <= 5; ++i) {
    const double y = low * std::pow(high / low, i / 5.0), x = x1 * i / 5;
    out += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#ddd\"/><text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.3g}</text>"
                       "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.0f}</text>\n",
                       left, Y(y), W - right, left - 6, Y(y) + 4, y, X(x), H - bottom + 16, x);
  }
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">step</text>\n", (left + W - right) / 2, H - 8);
  static constexpr const char* colours[] = {"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b"};
  for (size_t k = 0; k < series.size(); ++k) {
    const char* colour = colours[k % std::size(colours)];
    std::string path;
    const auto& points = series[k].points;
    const size_t stride = std::max<size_t>(1, points.size() / 2000);
    for (size_t i = 0; i < points.size(); i += stride)
      if (points[i].y > 0) path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", X(points[i].x), Y(points[i].y));
    out += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n", path, colour);
    out += fmt::format("<text x=\"{}\" y=\"{:.0f}\" text-anchor=\"end\" fill=\"{}\">{} {:.4g}</text>\n", W - right - 4,
                       top + 16.0 * (1 + static_cast<double>(k)), colour, series[k].name, points.back().y);
  }
  return out + "</svg>\n";
}

uint32_t crc32c(const void* data, size_t bytes) {            // Castagnoli's polynomial, bits reversed
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  uint32_t c = ~0u;
  for (size_t i = 0; i < bytes; ++i) c = table[(c ^ static_cast<const uint8_t*>(data)[i]) & 255] ^ c >> 8;
  return ~c;
}

namespace {
void varint(std::string& s, uint64_t v) {
  for (; v >= 128; v >>= 7) s += static_cast<char>(v | 128);
  s += static_cast<char>(v);
}
template <class T>
void raw(std::string& s, T v) { s.append(reinterpret_cast<const char*>(&v), sizeof v); }
void nested(std::string& s, int field, const std::string& inner) {
  varint(s, static_cast<uint64_t>(field) << 3 | 2), varint(s, inner.size()), s += inner;
}
double wall_time() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }
std::string event(int64_t step) {                            // wall_time = 1, step = 2
  std::string e;
  e += '\x09', raw(e, wall_time());
  if (step) e += '\x10', varint(e, static_cast<uint64_t>(step));
  return e;
}
}  // namespace

EventFile::EventFile(const std::string& folder)
    : path_(fmt::format("{}/events.out.tfevents.{:.0f}.{}.headrace", folder, wall_time(), ::getpid())) {
  std::string e = event(0);
  nested(e, 3, "brain.Event:2");
  record(e);
}
void EventFile::scalar(const std::string& tag, double value, int64_t step) {
  std::string v, summary, e = event(step);
  nested(v, 1, tag);
  v += '\x15', raw(v, static_cast<float>(value));            // simple_value = 2
  nested(summary, 1, v);
  nested(e, 5, summary);
  record(e);
}
void EventFile::record(const std::string& event) {
  const auto masked = [](const void* data, size_t n) {
    const uint32_t c = crc32c(data, n);
    return (c >> 15 | c << 17) + 0xa282ead8u;
  };
  std::string s;
  const auto n = static_cast<uint64_t>(event.size());
  raw(s, n), raw(s, masked(&n, sizeof n)), s += event, raw(s, masked(event.data(), event.size()));
  append_to(path_, s);
}

}  // namespace headrace
