// A blueprint that was trained: config.json {"model_type": "headrace", "blueprint": "d=64 ..."} beside tensors by the names of
// models/blueprint.h, in the shapes in which an initialiser makes them.
#include "base/error.h"
#include "models/blueprint.h"
#include "models/families.h"

namespace headrace {

Model saved_blueprint(const Value& config, const Scope& scope, const std::string& file) {
  const Value* stored = config.find("blueprint");
  std::string text;
  expect(stored && read_value(*stored, text), file, ": blueprint is missing");
  Source* s = &scope.source();
  if (!s->make)
    s->make = [s](const std::string& name, const Shape& shape, const Init&) {
      const Tensor t = s->find ? s->find(name) : Tensor{};
      const bool fits = t && t.shape() == shape && (is_float(t.dtype()) || is_block(t.dtype()));
      if (!t) s->missing.push_back(headrace::text(name, " ", shape));
      else if (!fits) s->wrong.push_back(headrace::text(name, " is ", t.dtype(), " ", t.shape(), ", wanted ", shape));
      return fits ? t.contiguous_or_copy() : Tensor::empty(shape, DType::f32, Device::meta);
    };
  Model m = build_blueprint(naming(file, [&] { return parse_blueprint(text); }), scope.shared_source());
  s->make = nullptr, s->kept.clear();                              // they have a reference to this source, and the file's memory
  m.config = config;
  return m;
}

}  // namespace headrace
