// Lines are appended and brought to the disk one by one, so that a kill costs the last at most; it is dropped when the file is gone on from.
#include "probe/results.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace headrace {
namespace {

bool is_number(const Value* v) { return v && (v->get<double>() || v->get<int64_t>()); }
bool are_texts(const Value* v) {
  const Array* all = v ? v->get<Array>() : nullptr;
  return all && std::all_of(all->begin(), all->end(), [](const Value& t) { return t.get<std::string>(); });
}
// What of a test, or of its scores up to a position, is not as it is written; null: nothing.
const char* fault_of_test(const Value& test) {
  if (!are_texts(test.find("set"))) return "set";
  for (const char* k : {"accuracy", "standard_error", "whole", "traced", "answers"})
    if (!is_number(test.find(k))) return k;
  if (test.find("loss") && !is_number(test.find("loss"))) return "loss";
  const Value* by = test.find("by_position");
  if (!by || !by->get<Array>()) return "by_position";
  for (const Value& b : *by->get<Array>())
    for (const char* k : {"upto", "accuracy", "answers"})
      if (!is_number(b.find(k)) || (b.find("loss") && !is_number(b.find("loss")))) return "by_position";
  return nullptr;
}
const char* fault_of(const Value& result, size_t tests) {
  for (const char* k : {"task", "parameters", "label", "blueprint"})
    if (const Value* v = result.find(k); !v || !v->get<std::string>()) return k;
  for (const char* k : {"rate", "seed", "steps", "weights", "state_bytes", "state_tokens", "seconds", "cpu_seconds"})
    if (!is_number(result.find(k))) return k;
  for (const char* k : {"near", "diverged"})
    if (result.find(k) && !is_number(result.find(k))) return k;
  if (!are_texts(result.find("grid"))) return "grid";
  const Value* all = result.find("tests");
  if (!all || !all->get<Array>() || all->get<Array>()->size() != tests) return "tests";
  for (const Value& t : *all->get<Array>())
    if (const char* fault = fault_of_test(t)) return fault;
  return nullptr;
}

// Behind whatever is there: a line that a kill cut short is ended first, so that it takes none with it.
void append(const HeldFile& held, const std::string& file, const std::string& line) {
  char last = '\n';
  const off_t end = ::lseek(held.descriptor(), 0, SEEK_END);
  if (end > 0 && ::pread(held.descriptor(), &last, 1, end - 1) != 1) last = '\n';
  const std::string whole = (last == '\n' ? "" : "\n") + (line.empty() ? "" : line + "\n");
  size_t done = 0;
  int fault = 0;
  while (done < whole.size() && !fault) {                  // a disk that fills up takes a part first, and says why at the next call
    const ssize_t n = ::write(held.descriptor(), whole.data() + done, whole.size() - done);
    if (n > 0) done += static_cast<size_t>(n);
    else if (errno != EINTR) fault = n < 0 ? errno : ENOSPC;
  }
  if (!fault && ::fsync(held.descriptor()) != 0) fault = errno;
  expect(!fault, file, ": cannot write: ", std::strerror(fault), "; the results before this one are kept");
}

}  // namespace

void append_line(const std::string& file, const std::string& line) {
  const HeldFile held(file);
  append(held, file, line);
}

std::map<std::string, Object> read_results(const std::string& file, const std::map<std::string, size_t>& wanted) {
  std::map<std::string, Object> known;
  if (!file_exists(file)) return known;
  const HeldFile held(file);                               // no line is half written, and none is appended while those that were cut are dropped
  const std::string text = read_text(file);
  std::string whole;                                       // lines, without those that were cut
  bool any = false, cut = false;
  int64_t number = 1;
  for (size_t at = 0, end; at < text.size(); at = end + 1, ++number) {
    end = std::min(text.find('\n', at), text.size());
    if (end == at) continue;
    const std::string line = text.substr(at, end - at);
    Value v;
    try {
      v = parse_json(line, file);
    } catch (const Error&) {
      cut = true;
      any |= text.size() == end && at == 0 && line.starts_with("{");     // the first of all
      continue;
    }
    whole += line + "\n";
    const Value* key = v.find("key");
    if (!key || !key->get<std::string>()) continue;
    any = true;
    const auto cell = wanted.find(*key->get<std::string>());
    if (cell == wanted.end()) continue;
    const char* fault = fault_of(v, cell->second);
    expect(!fault, file, ", line ", number, ": not a result as `headrace probe` writes it: ", fault, "; take the line away to run its cell again");
    known[cell->first] = *v.get<Object>();
  }
  expect(any || text.empty(), file, ": not a file of results");
  if (cut) write_atomic(file, [&](const Sink& sink) { sink(whole.data(), whole.size()); });
  else if (!text.empty() && text.back() != '\n') append(held, file, "");
  return known;
}

std::string text_of(const Object& o, const char* key) { return *o.at(key).get<std::string>(); }
double number_of(const Object& o, const char* key) {
  const Value& v = o.at(key);
  return v.get<double>() ? *v.get<double>() : v.get<int64_t>() ? static_cast<double>(*v.get<int64_t>()) : NAN;
}
std::string joined(const Value& list) {
  std::string s;
  for (const Value& v : *list.get<Array>()) s += (s.empty() ? "" : " ") + *v.get<std::string>();
  return s;
}

}  // namespace headrace
