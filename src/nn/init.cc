// Initialisers as functions of an element's place and a counter-based draw, so that a parameter begins the same whatever is made before it.
#include "nn/init.h"

#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "nn/scope.h"

namespace headrace {
namespace {

uint64_t hash_of(const std::string& name) {        // FNV-1a
  uint64_t h = 0xcbf29ce484222325u;
  for (char c : name) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return h;
}
int64_t last(const Shape& s) { return s.rank() ? s[-1] : 1; }
int64_t rows(const Shape& s) { return s.rank() > 1 ? s[-2] : 1; }
Init made(std::string text, Init::Element f) { return {.text = std::move(text), .element = std::move(f)}; }

// Rows (or columns, where there are fewer of them) of normal numbers made orthonormal one after the other, twice for accuracy.
void fill_orthogonal(float* values, int64_t out, int64_t in, double gain, const Draws& draws, int64_t first) {
  const bool tall = out > in;
  const int64_t n = tall ? in : out, m = tall ? out : in;      // n vectors of m numbers
  std::vector<double> q(static_cast<size_t>(n * m));
  for (int64_t i = 0; i < n * m; ++i) q[i] = draws.normal(first + i);
  for (int64_t i = 0; i < n; ++i) {
    double* v = q.data() + i * m;
    auto normalise = [&] {
      double square = 0;
      for (int64_t c = 0; c < m; ++c) square += v[c] * v[c];
      for (int64_t c = 0; c < m; ++c) v[c] /= std::sqrt(square);
    };
    normalise();
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t j = 0; j < i; ++j) {
        const double* u = q.data() + j * m;
        double dot = 0;
        for (int64_t c = 0; c < m; ++c) dot += u[c] * v[c];
        for (int64_t c = 0; c < m; ++c) v[c] -= dot * u[c];
      }
    normalise();
  }
  const double scale = gain * (tall ? std::sqrt(static_cast<double>(out) / static_cast<double>(in)) : 1);
  for (int64_t r = 0; r < out; ++r)
    for (int64_t c = 0; c < in; ++c) values[r * in + c] = static_cast<float>(scale * (tall ? q[c * m + r] : q[r * m + c]));
}

// Blocks of `in` orthonormal rows, the last one cut off.
void fill_features(float* values, int64_t out, int64_t in, const Draws& draws) {
  std::vector<float> block(static_cast<size_t>(in * in));
  for (int64_t r = 0; r < out; ++r) {
    if (r % in == 0) fill_orthogonal(block.data(), in, in, 1, draws, 2 * r * in);
    double square = 0;
    for (int64_t c = 0; c < in; ++c) {
      const double x = draws.normal((2 * (r / in) + 1) * in * in + r % in * in + c);
      square += x * x;
    }
    for (int64_t c = 0; c < in; ++c) values[r * in + c] = static_cast<float>(std::sqrt(square) * block[static_cast<size_t>(r % in * in + c)]);
  }
}

const Init& otherwise(const Shape& shape) {
  static const Init matrix = Init::normal(0.02), vector = Init::zeros();
  return shape.rank() > 1 ? matrix : vector;
}

// f32 rows that are gone once they are packed: not from the lists of tensors, which keep freed memory for the next of its size.
Tensor passing(const Shape& shape) {
  const std::shared_ptr<float[]> memory(new float[static_cast<size_t>(shape.count())]);
  return Tensor::view_of(memory.get(), DType::f32, shape, memory);
}

}  // namespace

Init Init::constant(double c) {
  return made(headrace::text(c), [c](int64_t, const Shape&, const Draws&) { return c; });
}
Init Init::normal(double std) {
  return made(headrace::text("normal(", std, ")"), [std](int64_t i, const Shape&, const Draws& d) { return std * d.normal(i); });
}
Init Init::uniform(double low, double high) {
  return made(headrace::text("uniform(", low, ", ", high, ")"),
              [=](int64_t i, const Shape&, const Draws& d) { return low + (high - low) * d.uniform(i); });
}
Init Init::xavier(double gain) {
  return made(headrace::text("xavier(", gain, ")"), [gain](int64_t i, const Shape& s, const Draws& d) {
    return gain * std::sqrt(6.0 / static_cast<double>(last(s) + rows(s))) * (2 * d.uniform(i) - 1);
  });
}
Init Init::fan_in(double gain) {
  return made(headrace::text("fan_in(", gain, ")"), [gain](int64_t i, const Shape& s, const Draws& d) {
    return gain / std::sqrt(static_cast<double>(last(s))) * (2 * d.uniform(i) - 1);
  });
}
Init Init::log_uniform(double low, double high) {
  return made(headrace::text("log_uniform(", low, ", ", high, ")"),
              [=](int64_t i, const Shape&, const Draws& d) { return low * std::pow(high / low, d.uniform(i)); });
}
Init Init::linspace(double first, double last_value) {
  return made(headrace::text("linspace(", first, ", ", last_value, ")"), [=](int64_t i, const Shape& s, const Draws&) {
    const int64_t n = last(s);
    return n > 1 ? first + (last_value - first) * static_cast<double>(i % n) / static_cast<double>(n - 1) : first;
  });
}
Init Init::by_column(std::function<double(int64_t)> f) {
  return made("by column", [f = std::move(f)](int64_t i, const Shape& s, const Draws&) { return f(i % last(s)); });
}
Init Init::by_element(std::function<double(int64_t)> f) {
  return made("by element", [f = std::move(f)](int64_t i, const Shape&, const Draws&) { return f(i); });
}
Init Init::orthogonal(double gain) {
  Init i;
  i.text = headrace::text("orthogonal(", gain, ")"), i.orthogonal_gain = gain;
  return i;
}
Init Init::orthogonal_features() {
  Init i = orthogonal();
  i.text = "orthogonal features", i.normal_lengths = true;
  return i;
}
Init Init::step_size(double low, double high, double floor) {
  Init i = log_uniform(low, high).map("softplus^-1", [floor](double dt) {
    dt = std::max(dt, floor);
    return dt + std::log(-std::expm1(-dt));
  });
  return i.no_decay();
}
Init Init::map(std::string name, std::function<double(double)> f) const {
  Init i = *this;
  i.text = headrace::text(name, "(", text, ")");
  i.element = [f = std::move(f), g = element](int64_t n, const Shape& s, const Draws& d) { return f(g(n, s, d)); };
  return i;
}
Init Init::log() const {
  return map("log", [](double x) { return std::log(x); });
}
Init Init::no_decay() const {
  Init i = *this;
  i.decay = false;
  return i;
}
Init Init::fixed() const {
  Init i = no_decay();
  i.trained = false;
  return i;
}
Init Init::in_group(std::string name) const {
  Init i = *this;
  i.group = std::move(name);
  return i;
}

void Init::fill(const Tensor& t, const Philox& random) const {
  const Draws draws{random};
  const Shape& shape = t.shape();
  if (orthogonal_gain != 0) {
    const int64_t in = last(shape), out = normal_lengths ? in : rows(shape), one = std::max<int64_t>(1, out * in);
    if (normal_lengths) return fill_features(t.f32(), shape.count() / std::max<int64_t>(1, in), in, draws);
    parallel(t.count() / one, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t b = begin; b < end; ++b) fill_orthogonal(t.f32() + b * one, out, in, orthogonal_gain, draws, b * one);
    });
    return;
  }
  const Element& f = element ? element : otherwise(shape).element;
  parallel(t.count(), 4096, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) t.f32()[i] = static_cast<float>(f(i, shape, draws));
  });
}

std::shared_ptr<Source> initialised(InitOptions o) {
  auto s = std::make_shared<Source>();
  s->file = "blueprint";
  s->device = o.device;
  s->pack = o.pack;
  s->make = [o](const std::string& name, const Shape& shape, const Init& init) {
    if (o.device == Device::meta) return Tensor::empty(shape, DType::f32, Device::meta);
    Tensor values = o.pack && shape.rank() > 1 ? passing(shape) : Tensor::empty(shape);
    init.fill(values, {.seed = o.seed, .stream = hash_of(name)});
    if (o.jitter != 0) {
      const Philox noise{.seed = o.seed, .stream = hash_of(name + " jitter")};
      for (int64_t i = 0; i < shape.count(); ++i) values.f32()[i] += static_cast<float>(o.jitter * noise.normal(static_cast<uint64_t>(i)));
    }
    return copy_to(values, o.device);
  };
  return s;
}

}  // namespace headrace
