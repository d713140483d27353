// Text as it is read: every next byte of a stretch of a file is asked, so that the loss by position tells what more context is worth, and
// whether it still is beyond the trained length (Press et al. 2021, 2108.12409; Gu and Dao 2023, 2312.00752, section 4.3).
#include <algorithm>

#include "base/compress.h"
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Text {
  static constexpr TaskDoc doc{"text", "the next byte of a text", "Press et al. 2021, 2108.12409; Gu and Dao 2023, 2312.00752",
      "beyond the trained length the loss of attention with RoPE rises; ALiBi, windows and recurrences stay level or fall slowly"};
  std::string file;
  int L, reset;
  double from, to;
  std::string bytes;
  void visit(auto& v) {
    v("file", file, "", "a text, which may end in .zst; none: what this list says of the tasks", Choice{});
    v("L", L, 128, "bytes", Range{2, 1 << 22});
    v("reset", reset, 0, "bytes after which a sequence begins anew: of L bytes one stretch of so many is seen; 0: none", Range{0, 1 << 22});
    v("from", from, 0, "stretches begin behind this share of the file, so that tests can have a part of their own", Range{0, 1});
    v("to", to, 1, "and end before this", Range{0, 1});
  }
  void check() {
    if (file.empty()) {
      for (const TaskInfo& t : tasks())
        for (const char* s : {t.doc.name, t.doc.title, t.doc.paper, t.doc.shows}) bytes += std::string(s) + "\n";
    } else {
      bytes = naming("text: file=" + file, [&] { return read_packed(file); });
    }
    const auto place = [&](double share) { return static_cast<size_t>(share * static_cast<double>(bytes.size())); };
    expect(from < to, "text: from = ", from, " is not before to = ", to);
    bytes = bytes.substr(place(from), place(to) - place(from));
    expect(std::ssize(bytes) > L, "text: L = ", L, " in a text of ", bytes.size(), " bytes");
  }
  int vocab() const { return 256; }
  std::string word(int32_t t) const { return t > 32 && t < 127 ? std::string(1, static_cast<char>(t)) : text("<", t, ">"); }
  Sample sample(Dice& d) const {
    size_t begin = at(d.below(static_cast<int>(std::ssize(bytes) - L))), n = at(L);
    if (reset > 0 && reset < L) {
      const int stretch = d.below((L + reset - 1) / reset);
      begin += at(stretch * reset), n = at(std::min(reset, L - stretch * reset));
    }
    Sample s;
    for (size_t i = begin; i < begin + n; ++i) s.ask(static_cast<uint8_t>(bytes[i]), static_cast<uint8_t>(bytes[i + 1]));
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> source_tasks() { return {task_of<Text>()}; }

}  // namespace headrace
