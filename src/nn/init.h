// How a parameter begins. A mixer says it where it declares the parameter, as published:
//
//   s("A_log", {H}, Init::log_uniform(1, 16).log().no_decay())
//   s("dt_bias", {H}, Init::step_size(0.001, 0.1))
//   Linear::bind(s / "in_proj", D, E, false, Init::fan_in())
//
// Where nothing is said: matrices normal(0.02), vectors zeros; nn/layer.h's norms ones. Vectors take no weight decay.
//
// Element i of a parameter depends on the seed, the parameter's full name and i alone: not on the order of declaration, the
// threads, or what else there is (base/random.h).
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/random.h"
#include "tensor/tensor.h"

namespace headrace {

struct Source;

// The numbers of one parameter.
struct Draws {
  Philox random;
  double uniform(int64_t i) const { return random.uniform(static_cast<uint64_t>(i)); }   // in (0, 1)
  double normal(int64_t i) const { return random.normal(static_cast<uint64_t>(i)); }
};

struct Init {
  using Element = std::function<double(int64_t i, const Shape& shape, const Draws& draws)>;   // i counts through the whole tensor
  std::string text;                      // "normal(0.02)", for people
  Element element;                       // empty: the default for the parameter's rank
  double orthogonal_gain = 0;            // not 0: orthogonal, drawn as a whole
  bool normal_lengths = false;           // orthogonal in blocks as wide as high, each row as long as a normal vector
  bool trained = true;
  std::optional<bool> decay;             // weight decay; unsaid: matrices do, vectors do not
  std::string group;                     // parameters that share a learning rate of their own; empty: the common one

  static Init constant(double c);
  static Init zeros() { return constant(0); }
  static Init ones() { return constant(1); }
  static Init normal(double std);
  static Init uniform(double low, double high);
  static Init xavier(double gain = 1);           // uniform, +- gain sqrt(6 / (in + out))
  static Init fan_in(double gain = 1);           // uniform, +- gain / sqrt(in), PyTorch's for linear maps and convolutions
  static Init log_uniform(double low, double high);
  static Init linspace(double first, double last);         // over the last dimension
  static Init by_column(std::function<double(int64_t i)> f);    // i: in the last dimension
  static Init by_element(std::function<double(int64_t i)> f);   // i: through the whole tensor
  static Init orthogonal(double gain = 1);       // Saxe et al. 2013 (1312.6120); times sqrt(out / in) where there are more rows, as PyTorch users do
  // Directions at right angles as in FAVOR+ (Choromanski et al. 2020, 2009.14794): orthonormal rows, as many in a block as there are columns,
  // each times the length of a normal vector of its own.
  static Init orthogonal_features();
  static Init step_size(double low, double high, double floor = 1e-4);   // softplus^-1 of a log-uniform step (Mamba's dt); no decay
  static Init output(int layers) { return normal(0.02 / std::sqrt(2.0 * layers)); }   // of what is added to the residual (GPT-2)
  static Init conv_bias(int taps) { return uniform(-1 / std::sqrt(taps), 1 / std::sqrt(taps)); }   // PyTorch's, of a depthwise convolution
  Init map(std::string name, std::function<double(double)> f) const;     // f of each element
  Init log() const;                              // map: the logarithm
  Init no_decay() const;
  Init fixed() const;                            // saved with the model, but not trained
  Init in_group(std::string name) const;
  void fill(const Tensor& t, const Philox& random) const;   // f32 rows on the cpu
};

struct InitOptions {
  uint64_t seed = 0;
  Device device = Device::cpu;           // meta: shapes and bytes only
  bool pack = false;                     // true: matrices arranged for inference; false: plain f32 rows, which can be trained
  double jitter = 0;                     // normal noise on every parameter, so that what begins at zero takes part too (checks)
};
// A source that makes parameters as they are declared. They are kept by name: binding again, or declaring a name twice,
// gives the same tensors, so that a model can be bound anew for each training step with what bind derives on the tape.
std::shared_ptr<Source> initialised(InitOptions options = {});

}  // namespace headrace
