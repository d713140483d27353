// The tape (rules: tape.h): the first gradient of a whole storage is taken as it is, later ones are added in the records' order, so sums repeat.
#include "ops/tape.h"

#include "base/error.h"
#include "ops/ops.h"

namespace headrace {
namespace {
thread_local Tape* active = nullptr;
}

Tape* Tape::current() { return active; }
Tape::Tape() : outer_(active) { active = this; }
Tape::~Tape() { active = outer_; }
PauseTape::PauseTape() : before_(active) { active = nullptr; }
PauseTape::~PauseTape() { active = before_; }

Tape* recording(const std::vector<Tensor>& inputs) {
  Tape* t = Tape::current();
  for (const Tensor& x : inputs)
    if (t && t->tracks(x)) return t;
  return nullptr;
}

Tape::Place Tape::place(const Tensor& x) {
  if (!x) return {};
  return {x.storage()->id, x.device(), static_cast<int64_t>(x.storage()->bytes / bytes_of(x.dtype(), 1)), x.outline()};
}

void Tape::watch(const Tensor& x) {
  expect(!is_block(x.dtype()), "a gradient of ", x.dtype(), " weights: dequantise them first");
  gradients_.try_emplace(x.storage()->id);
  watched_.insert(x.storage()->id);
}

void Tape::record(std::initializer_list<Tensor> outputs, std::initializer_list<Tensor> inputs, Backward backward) {
  record(std::vector<Tensor>(outputs), std::vector<Tensor>(inputs), std::move(backward));
}
void Tape::record(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs, Backward backward) {
  Record r{.backward = std::move(backward)};
  for (const Tensor& y : outputs) {
    r.outputs.push_back(place(y));
    if (y) gradients_.try_emplace(y.storage()->id);
    if (y && trap) trap(y);
  }
  for (const Tensor& x : inputs) r.inputs.push_back(tracks(x) ? place(x) : Place{});
  records_.push_back(std::move(r));
}

// The first gradient of a whole storage is taken as it is, others are added; one that is shared is not written to.
void Tape::add(const Place& x, const Tensor& dx) {
  expect(dx.shape() == x.outline.shape() && dx.dtype() == DType::f32, "a gradient ", dx.shape(), " for a tensor ", x.outline.shape());
  Tensor& all = gradients_.at(x.id);
  const bool covers = x.outline.count() == x.storage_count && x.outline.contiguous();
  if (!all && covers && dx.contiguous() && dx.offset() == 0 && dx.storage()->bytes == dx.bytes()) {
    all = Tensor::of(dx.storage(), 0, DType::f32, {x.storage_count});
    return;
  }
  if (!all) all = Tensor::zeros({x.storage_count}, DType::f32, x.device);
  else if (all.storage().use_count() > 1) all = 1.f * all;
  Tensor into = x.outline.over(all.storage());
  add_into(dx, into);
}

void Tape::seed(const Tensor& y, const Tensor& dy) {
  expect(tracks(y), "backward: nothing that is watched led to this tensor");
  expect(dy.shape() == y.shape(), "backward: a gradient ", dy.shape(), " for ", y.shape());
  PauseTape pause;
  add(place(y), dy);
}

void Tape::backward(const Tensor& loss) {
  expect(loss.count() == 1, "backward: of ", loss.shape(), " where one number is wanted, or a gradient");
  Tensor one = Tensor::zeros(loss.shape(), DType::f32, loss.device());
  PauseTape pause;
  seed(loss, exp(one));
  backward();
}

void Tape::backward() {
  PauseTape pause;
  while (!records_.empty()) {
    Record r = std::move(records_.back());
    records_.pop_back();
    std::vector<Tensor> dys;
    bool flowed = false;
    for (const Place& y : r.outputs) {
      Tensor dy;
      if (auto it = gradients_.find(y.id); y.id != 0 && it != gradients_.end() && it->second) {
        dy = y.outline.over(it->second.storage()), flowed = true;
        if (!watched_.contains(y.id)) gradients_.erase(it);
      }
      dys.push_back(std::move(dy));
    }
    if (!flowed) continue;
    if (r.recompute) {                               // its records follow here and are next
      active = this;
      const std::vector<Tensor> ys = r.recompute();
      active = nullptr;
      for (size_t i = 0; i < ys.size(); ++i)
        if (dys[i] && tracks(ys[i])) add(place(ys[i]), dys[i]);
      continue;
    }
    std::vector<Tensor> dxs = r.backward(dys);
    dys.clear();
    r.backward = nullptr;
    expect(dxs.size() == r.inputs.size(), "backward: ", dxs.size(), " gradients for ", r.inputs.size(), " inputs");
    for (size_t i = 0; i < dxs.size(); ++i)
      if (dxs[i] && r.inputs[i].id != 0) {
        const Tensor dx = std::move(dxs[i]);
        add(r.inputs[i], dx);
      }
  }
  std::erase_if(gradients_, [&](const auto& g) { return !watched_.contains(g.first); });
}

Tensor Tape::gradient(const Tensor& x) const {
  expect(x && watched_.contains(x.storage()->id), "gradient: of a tensor that is not watched");
  const Tensor& all = gradients_.at(x.storage()->id);
  return all ? x.outline().over(all.storage()) : Tensor{};
}
void Tape::forget(const Tensor& x) { gradients_.at(x.storage()->id) = {}; }

std::vector<Tensor> checkpoint(std::function<std::vector<Tensor>()> f) {
  Tape* tape = Tape::current();
  if (!tape) return f();
  std::vector<Tensor> ys;
  {
    PauseTape pause;
    ys = f();
  }
  Tape::Record r{.recompute = std::move(f)};
  for (const Tensor& y : ys) {
    r.outputs.push_back(Tape::place(y));
    tape->gradients_.try_emplace(y.storage()->id);
  }
  tape->records_.push_back(std::move(r));
  return ys;
}
Tensor checkpoint(std::function<Tensor()> f) {
  return checkpoint([f = std::move(f)] { return std::vector<Tensor>{f()}; })[0];
}

}  // namespace headrace
