// Token rows of a file, with ids that would not fit refused by their place.
#include "cli/tokens.h"

#include <limits>

#include "base/error.h"
#include "io/safetensors.h"

namespace headrace::cli {

TokenRows read_token_rows(const std::string& path, const std::string& name) {
  SafetensorsFile file(path);
  const Tensor t = file.tensor(name);
  expect(t.dtype() == DType::i64 && (t.rank() == 1 || t.rank() == 2) && t.count() > 0, path, ": ", name,
      ": wanted i64 [T] or [B,T] with tokens, found ",
         t.dtype(), " ", t.shape());
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < t.count(); ++i) {
    const int64_t id = t.data<int64_t>()[i];
    expect(id >= 0 && id <= std::numeric_limits<int32_t>::max(), path, ": ", name, ": token ", i, " is ", id);
    ids.push_back(static_cast<int32_t>(id));
  }
  return {std::move(ids), t.rank() == 2 ? t.dim(0) : 1};
}

}  // namespace headrace::cli
