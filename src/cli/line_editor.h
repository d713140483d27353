// One line from a terminal, with editing and history (libedit). Ctrl-C with text on the line clears it; on an empty line
// it says that a second one leaves, as Ctrl-D does. SIGTERM and SIGHUP, where they are caught, leave at once.
#pragma once
#include <memory>
#include <optional>
#include <string>

namespace headrace::cli {

class LineEditor {
 public:
  explicit LineEditor(std::string prompt);
  ~LineEditor();
  std::optional<std::string> line();     // without its end; none: leave
  struct Parts;

 private:
  std::unique_ptr<Parts> parts_;
};

}  // namespace headrace::cli
