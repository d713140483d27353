// The file of results, TASK.jsonl: a line of JSON for each cell, which is whole or is no result; its "key" says which cell.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "nn/value.h"

namespace headrace {

// Several processes may append to a file and read it: each holds it while it does.
//
// One line, whole where the disk has room, then brought to it.
void append_line(const std::string& file, const std::string& line);
// Results by key, of cells that are wanted: their keys, and how many tests each has. Lines that a kill cut short are dropped from the file.
// Throws Error where it is none of results, or where a wanted line is not as this program writes it.
std::map<std::string, Object> read_results(const std::string& file, const std::map<std::string, size_t>& wanted);

inline Array texts(const std::vector<std::string>& v) { return {v.begin(), v.end()}; }
// Of a result that was checked. A number that is not there, as a loss of what diverged, is NAN.
std::string text_of(const Object& o, const char* key);
double number_of(const Object& o, const char* key);
std::string joined(const Value& list);                       // of texts, by spaces

}  // namespace headrace
