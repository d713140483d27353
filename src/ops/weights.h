// Which tokens a token reads, and how much of each: while a WatchWeights lives in a thread, attention and linear_scan of whole sequences also
// tell it their weights w, o_t = sum_s w_ts v_s. They are the op's own answers for values that say where they stand, so whatever the op does
// to a value (a window, slopes, decay, removal by the delta rule) is in them.
#pragma once
#include <functional>

#include "ops/slot.h"

namespace headrace {

class WatchWeights {
 public:
  // w [N,H,T]: of each token, over the places of its sequence; T is the longest's length.
  using See = std::function<void(const Tensor& w, const Sequences& sequences)>;
  explicit WatchWeights(See see);
  ~WatchWeights();
  WatchWeights(const WatchWeights&) = delete;
  WatchWeights& operator=(const WatchWeights&) = delete;

  // By the op: its answers for any values [N,heads,V].
  static void tell(const Slot& slot, int64_t heads, const std::function<Tensor(const Tensor& v)>& op);

 private:
  See see_;
  WatchWeights* outer_;
};

}  // namespace headrace
