// Reverse-mode differentiation. While a Tape lives in a thread, an op that reads a tracked tensor records how gradients of
// its results become gradients of its inputs; backward() goes through the records from the last to the first.
// A gradient belongs to a storage: views (slices, other shapes) of a tensor need no record, their gradients are the same
// views of its gradient. So an op must give fresh memory, or a view of one input.
// A record holds the tensors that its function captured and nothing else, and is freed once it has been used.
#pragma once
#include <functional>
#include <initializer_list>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tensor/tensor.h"

namespace headrace {

class Tape {
 public:
  // Gradients of the outputs (empty: nothing flowed into that one) -> gradients of the inputs, in their shapes (empty: none).
  using Backward = std::function<std::vector<Tensor>(const std::vector<Tensor>& d_outputs)>;

  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  void watch(const Tensor& x);                       // a leaf: its gradient is wanted
  bool tracks(const Tensor& x) const { return x && gradients_.contains(x.storage()->id); }
  void record(std::initializer_list<Tensor> outputs, std::initializer_list<Tensor> inputs, Backward backward);
  void record(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs, Backward backward);

  void seed(const Tensor& y, const Tensor& dy);      // dy, in y's shape, is added to y's gradient
  void backward();                                   // uses up all records; gradients of watched tensors add up over calls
  void backward(const Tensor& y, const Tensor& dy) { seed(y, dy), backward(); }
  void backward(const Tensor& loss);                 // of one number
  Tensor gradient(const Tensor& x) const;            // of a watched tensor, in its shape; empty when nothing flowed
  void forget(const Tensor& x);                      // its gradient becomes nothing again

  static Tape* current();                            // null: nothing is recorded

  std::function<void(const Tensor& output)> trap;    // where set: called with each result that is recorded, as it is made

 private:
  friend std::vector<Tensor> checkpoint(std::function<std::vector<Tensor>()> f);
  struct Place {                                     // a tensor without its memory
    uint64_t id = 0;
    Device device;
    int64_t storage_count;                           // elements of the whole storage
    Tensor outline;
  };
  struct Record {
    std::vector<Place> outputs, inputs;
    Backward backward;
    std::function<std::vector<Tensor>()> recompute;  // instead of backward: makes the outputs again, recording
  };
  static Place place(const Tensor& x);
  void add(const Place& x, const Tensor& dx);
  std::vector<Record> records_;
  std::unordered_map<uint64_t, Tensor> gradients_;   // by storage; tracked without a gradient yet: empty
  std::unordered_set<uint64_t> watched_;
  Tape* outer_;
};

// While one lives, nothing is recorded in this thread.
class PauseTape {
 public:
  PauseTape();
  ~PauseTape();
 private:
  Tape* before_;
};

// The tape to record on when one of the inputs is tracked, else null.
template <class... T>
Tape* recording(const T&... inputs) {
  Tape* t = Tape::current();
  return t && (t->tracks(inputs) || ...) ? t : nullptr;
}
Tape* recording(const std::vector<Tensor>& inputs);

// f() without keeping what it computes on the way: backward computes it again (Chen et al. 2016, 1604.06174). f must give
// the same again: state that it carries on would be carried on twice.
std::vector<Tensor> checkpoint(std::function<std::vector<Tensor>()> f);
Tensor checkpoint(std::function<Tensor()> f);

}  // namespace headrace
