#include "models/rope.h"

#include <algorithm>
#include <cmath>

namespace headrace {
namespace {

template <class T>
T number(const Value& v, const char* key, T otherwise) {
  const Value* f = v.find(key);
  T out;
  return f && read_value(*f, out) ? out : otherwise;
}
std::string string_of(const Value& v, const char* key) {
  const Value* f = v.find(key);
  std::string s;
  return f && read_value(*f, s) ? s : "";
}

}  // namespace

Rope read_rope(const Value& config, int head_dim, const std::string& file, const char* kind, float default_fraction, double default_theta) {
  const Value* p = config.find("rope_parameters");
  if (p && kind && p->find(kind)) p = p->find(kind);
  const Value none{Object{}};
  const Value& scaling = p ? *p : config.find("rope_scaling") ? *config.find("rope_scaling") : none;
  double theta = number(p ? *p : config, "rope_theta", default_theta);
  double fraction = number(p ? *p : config, "partial_rotary_factor", double{default_fraction});
  std::string type = string_of(scaling, "rope_type");
  if (type.empty()) type = string_of(scaling, "type");
  if (type.empty()) type = "default";
  expect(theta > 1 && fraction > 0 && fraction <= 1, file, ": rope_theta = ", theta, ", partial_rotary_factor = ", fraction);

  Rope r;
  r.interleaved = number(config, "rope_interleaved", false);   // our key: GGUF's llama has its rows permuted for it
  r.rotary = static_cast<int>(head_dim * fraction);
  expect(r.rotary % 2 == 0, file, ": partial_rotary_factor = ", fraction, " of ", head_dim, " is ", r.rotary, " dimensions, but they turn in pairs");
  const int d = r.rotary;
  std::vector<double> f(static_cast<size_t>(d / 2));
  for (int i = 0; i < d / 2; ++i) f[i] = std::pow(theta, -2.0 * i / d);
  double factor = number(scaling, "factor", 1.0);
  double context = number(config, "max_position_embeddings", 0.0);
  double original = number(scaling, "original_max_position_embeddings", number(config, "original_max_position_embeddings", context));

  if (type == "default" || type == "proportional") {
  } else if (type == "linear") {
    expect(factor > 0, file, ": rope factor = ", factor);
    for (double& x : f) x /= factor;
  } else if (type == "llama3") {
    double low = number(scaling, "low_freq_factor", 1.0), high = number(scaling, "high_freq_factor", 4.0);
    expect(factor > 0 && original > 0 && high > low, file,
        ": rope_type llama3 needs factor, original_max_position_embeddings, low and high frequency factors");
    for (double& x : f) {
      double wave = 2 * M_PI / x;
      if (wave < original / high) continue;
      double s = (original / wave - low) / (high - low);
      x = wave > original / low ? x / factor : (1 - s) * x / factor + s * x;
    }
  } else if (type == "yarn") {
    expect(factor > 0 && original > 0, file, ": rope_type yarn needs factor and original_max_position_embeddings");
    double fast = number(scaling, "beta_fast", 32.0), slow = number(scaling, "beta_slow", 1.0);
    auto find = [&](double rotations) { return d * std::log(original / (rotations * 2 * M_PI)) / (2 * std::log(theta)); };
    double low = find(fast), high = find(slow);
    if (number(scaling, "truncate", true)) low = std::floor(low), high = std::ceil(high);
    low = std::max(low, 0.0), high = std::min(high, d - 1.0);
    if (high <= low) high = low + 0.001;
    for (int i = 0; i < d / 2; ++i) {
      double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
      f[i] = f[i] / factor * ramp + f[i] * (1 - ramp);
    }
    auto mscale = [](double s, double m) { return s <= 1 ? 1.0 : 0.1 * m * std::log(s) + 1; };
    double m = number(scaling, "mscale", 0.0), all = number(scaling, "mscale_all_dim", 0.0);
    double otherwise = m != 0 && all != 0 ? mscale(factor, m) / mscale(factor, all) : mscale(factor, 1);
    r.factor = static_cast<float>(number(scaling, "attention_factor", otherwise));
  } else if (type == "longrope" || type == "su") {   // su: longrope's first name
    std::vector<double> divisor;
    const Value* list = scaling.find(context > original ? "long_factor" : "short_factor");
    expect(list && read_value(*list, divisor) && static_cast<int>(divisor.size()) == d / 2, file, ": rope_type longrope needs lists of ", d / 2,
        " factors");
    for (int i = 0; i < d / 2; ++i) f[i] /= divisor[i];
    double s = number(scaling, "factor", context / original);
    r.factor = static_cast<float>(number(scaling, "attention_factor", s <= 1 ? 1.0 : std::sqrt(1 + std::log(s) / std::log(original))));
  } else if (type == "factors") {
    std::vector<double> divisor;
    const Value* list = scaling.find("factors");
    expect(list && read_value(*list, divisor) && static_cast<int>(divisor.size()) == d / 2, file, ": rope factors: ", d / 2, " are needed");
    for (int i = 0; i < d / 2; ++i) f[i] /= divisor[i];
  } else {
    fail(file, ": rope_type '", type, "' is unknown; known: default, linear, llama3, yarn, longrope");
  }
  r.inverse_frequency.assign(f.begin(), f.end());
  return r;
}

}  // namespace headrace
