// Scope: (source, path). `s / "mlp"` extends the path, s("weight", {D}, init) declares a parameter and gets it. The source is
// a checkpoint, an initialiser (nn/init.h), or either on the meta device (a plan: shapes and bytes, nothing loaded). Declaring
// is all that saving, counting, planning and optimizing need, so a mixer's bind reads like the checkpoint's manifest. Everything
// that is missing, spare or of the wrong shape is one error at the end (Source::finish).
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "nn/init.h"
#include "tensor/tensor.h"

namespace headrace {

struct Parameter {
  std::string name;
  Shape shape;
  DType dtype;
  size_t bytes;                          // as held in memory
  bool decay = false;                    // weight decay
  std::string group;                     // of a learning rate of its own; empty: the common one
  bool trained = true;                   // false: fixed when the model was made
  Tensor value;                          // what the model reads, where an initialiser made it: f32 rows where nothing is packed
};

struct Source {
  std::string file;                      // for errors
  Device device = Device::cpu;           // where parameters go; meta: a plan
  Device plan_for = Device::cpu;         // whose arrangement a plan counts
  bool pack = true;                      // matrices in the device's own arrangement
  // The tensor of that name as it lies in the file; empty when there is none. Names are the checkpoint's.
  std::function<Tensor(const std::string& name)> find;
  std::function<std::vector<std::string>()> names;
  std::function<Tensor(const std::string& name, const Shape& shape, const Init& init)> make;   // set in place of both by an initialiser
  std::function<bool(const std::string& name)> ignore = [](const std::string&) { return false; };   // spare but harmless

  std::map<std::string, Parameter> kept; // what `make` made, and where it trains what was found: binding again gives the same tensors
  bool trains = false;                   // what is found becomes f32 rows in `kept`, and the model reads those
  // Where a family gave `find` other names and layouts than the file's, and what is found is trained: the file's own of all of it.
  using Tensors = std::map<std::string, Tensor>;
  std::function<Tensors(const Tensors& found)> as_stored;
  // Where set: what a matrix by that name becomes on its way to the model, which is trained (LoRA).
  std::function<Tensor(const std::string& name, const Tensor& rows)> adapt;

  std::vector<Parameter> parameters;     // in order of declaration
  std::set<std::string> used;
  std::vector<std::string> missing, wrong;
  void finish() const;                   // throws Error that names all of them
};

class Scope {
 public:
  explicit Scope(std::shared_ptr<Source> source, std::string path = "") : source_(std::move(source)), path_(std::move(path)) {}
  Scope operator/(const std::string& name) const { return Scope(source_, path_.empty() ? name : path_ + "." + name); }
  Scope operator/(int64_t index) const { return *this / std::to_string(index); }
  const std::string& path() const { return path_; }
  Scope root() const { return Scope(source_); }       // for what several layers share
  bool has(const std::string& name) const;            // in the file; false where parameters are made

  // A small parameter as f32, on the device. Singleton dimensions may differ ([1,1,D] for [D]).
  Tensor operator()(const std::string& name, const Shape& shape, const Init& init = {}) const;
  // The same where the file may not have it: an empty tensor then.
  Tensor maybe(const std::string& name, const Shape& shape) const { return has(name) ? (*this)(name, shape) : Tensor{}; }
  // A matrix for `linear` or `embedding` in the file's dtype, packed for the device.
  Tensor matrix(const std::string& name, const Shape& shape, const Init& init = {}) const;
  // The matrix in the file is [in,rows] (GPT-2's Conv1D): its columns [begin, begin + shape[0]), transposed. Made ones are [rows,in].
  Tensor transposed(const std::string& name, int64_t rows, int64_t begin, const Shape& shape) const;
  Tensor transposed(const std::string& name, const Shape& shape, const Init& init = {}) const {
    return source_->make ? matrix(name, shape, init) : transposed(name, shape[0], 0, shape);
  }
  // One of several equal parts of a fused matrix: rows [begin, begin + shape[0]) of a [rows, in] tensor.
  Tensor part(const std::string& name, int64_t rows, int64_t begin, const Shape& shape) const;
  // A dimension of the tensor in the file, for sizes that no configuration gives; 0 when it is missing.
  int64_t dim(const std::string& name, int i) const;
  Source& source() const { return *source_; }
  const std::shared_ptr<Source>& shared_source() const { return source_; }

 private:
  std::string full(const std::string& name) const { return path_.empty() ? name : path_ + "." + name; }
  Tensor fetch(const std::string& name, const Shape& shape, const Init& init = {}) const;
  Tensor adapted(const std::string& name, const Tensor& matrix) const;
  Tensor made(const std::string& name, const Shape& shape, const Init& init, bool matrix) const;
  Tensor arranged(const Tensor& rows) const;
  Tensor place(const std::string& name, const Tensor& rows) const;
  std::shared_ptr<Source> source_;
  std::string path_;
};

}  // namespace headrace
