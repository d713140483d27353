// What a run leaves to look at: lines of JSON, a picture of the losses, TensorBoard's event files.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace headrace {

struct Point { double x, y; };
struct Series { std::string name; std::vector<Point> points; };
// Losses over steps as SVG: y is logarithmic, a legend tells series apart.
std::string curve_svg(const std::string& title, const std::vector<Series>& series);

// Lines of JSON with a "step" each. Opened at a step it forgets lines of later ones, so that a run that goes on has each step once.
class RunLog {
 public:
  RunLog(std::string path, int64_t step);
  void add(const std::map<std::string, double>& values);       // "step" among them; written at once
  std::vector<Series> series(const std::vector<std::string>& keys) const;

 private:
  std::string path_;
  std::vector<std::map<std::string, double>> lines_;
};

// TensorBoard's format: records of a protocol buffer with masked CRC-32C. One file a process.
class EventFile {
 public:
  explicit EventFile(const std::string& folder);
  void scalar(const std::string& tag, double value, int64_t step);

 private:
  void record(const std::string& event);
  std::string path_;
};
uint32_t crc32c(const void* data, size_t bytes);

}  // namespace headrace
