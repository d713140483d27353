// What a call that should fail says.
#pragma once
#include <string>

#include "base/error.h"

namespace headrace {

// The words of the Error that f throws; empty: it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace headrace
