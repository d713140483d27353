// Frequencies and their scalings (papers: rope.h). A scaling that is not known is an error, never the default one: a wrong angle
// shows only in long texts.
#include "models/rope.h"

#include <algorithm>
#include <cmath>

namespace headrace {
namespace {

struct Keys {                                          // of one object of the file
  const Value& v;
  const std::string& file;
  template <class T>
  T get(const char* key, T otherwise) const {          // absent, or null: otherwise
    const Value* f = v.find(key);
    T out;
    if (!f) return otherwise;
    constexpr const char* wanted = std::is_same_v<T, bool> ? "true or false" : std::is_same_v<T, double> ? "a number" : "text";
    if (!read_value(*f, out)) wrong(key, wanted, *f);
    return out;
  }
  double positive(const char* key, const std::string& type) const {
    const Value* f = v.find(key);
    if (!f) fail(file, ": ", key, " is missing; rope_type ", type, " needs it");
    const double x = get(key, 0.0);
    expect(x > 0 && std::isfinite(x), file, ": ", key, " = ", x, ": rope_type ", type, " needs a number above 0");
    return x;
  }
  std::vector<double> divisors(const char* key, int n) const {
    const Value* f = v.find(key);
    if (!f) fail(file, ": ", key, " is missing: a list of ", n, " factors");
    std::vector<double> list;
    if (!read_value(*f, list)) wrong(key, "a list of numbers", *f);
    expect(static_cast<int>(list.size()) == n, file, ": ", key, " has ", list.size(), " factors, wanted ", n);
    for (double x : list) expect(x > 0 && std::isfinite(x), file, ": ", key, " has a factor of ", x);
    return list;
  }
  const Value* object(const char* key) const {
    const Value* f = v.find(key);
    if (f && !f->get<Object>()) wrong(key, "an object", *f);
    return f;
  }
  [[noreturn]] void wrong(const char* key, const char* wanted, const Value& found) const {
    fail(file, ": ", key, " = ", to_json(found).substr(0, 80), ", wanted ", wanted);
  }
};

const Value* scaling_of(const Value& config) {
  const Value* p = config.find("rope_parameters");
  return p ? p : config.find("rope_scaling");
}
bool is_longrope(const std::string& type) { return type == "longrope" || type == "su"; }   // su: its first name
// longrope's original context; 0: the configuration scales otherwise.
double longrope_original(const Value& config, const std::string& file) {
  const Value* s = scaling_of(config);
  if (!s || !s->get<Object>()) return 0;
  const Keys scaling{*s, file}, whole{config, file};
  if (!is_longrope(scaling.get("rope_type", scaling.get("type", std::string())))) return 0;
  return scaling.get("original_max_position_embeddings",
                     whole.get("original_max_position_embeddings", whole.get("max_position_embeddings", 0.0)));
}

}  // namespace

Value for_context(Value config, int64_t tokens, const std::string& file) {
  const double original = tokens > 0 ? longrope_original(config, file) : 0;
  if (original > 0 && static_cast<double>(tokens) > original) std::get<Object>(config.v)["long_context"] = true;
  return config;
}
int rope_context(const Value& config, int longest, const std::string& file) {
  const double original = longrope_original(config, file);
  return original <= 0 || original >= longest || Keys{config, file}.get("long_context", false) ? longest : static_cast<int>(original);
}

Rope read_rope(const Value& config, int head_dim, const std::string& file, const char* kind, float default_fraction, double default_theta) {
  const Value none{Object{}};
  const Keys whole{config, file};
  const Value* p = whole.object("rope_parameters");
  if (p && kind)
    if (const Value* own = Keys{*p, file}.object(kind)) p = own;
  const Value* s = p ? p : whole.object("rope_scaling");
  const Keys base{p ? *p : config, file}, scaling{s ? *s : none, file};
  const double theta = base.get("rope_theta", default_theta), fraction = base.get("partial_rotary_factor", double{default_fraction});
  std::string type = scaling.get("rope_type", scaling.get("type", std::string("default")));
  expect(theta > 1 && std::isfinite(theta) && fraction > 0 && fraction <= 1, file, ": rope_theta = ", theta, ", partial_rotary_factor = ", fraction);

  Rope r;
  r.base = theta;
  r.interleaved = whole.get("rope_interleaved", false);   // our key: GGUF's llama has its rows permuted for it
  r.rotary = static_cast<int>(head_dim * fraction);
  expect(r.rotary % 2 == 0, file, ": partial_rotary_factor = ", fraction, " of ", head_dim, " is ", r.rotary, " dimensions, but they turn in pairs");
  const int d = r.rotary;
  std::vector<double> f(static_cast<size_t>(d / 2));
  for (int i = 0; i < d / 2; ++i) f[i] = std::pow(theta, -2.0 * i / d);
  const double context = whole.get("max_position_embeddings", 0.0);
  const double original = scaling.get("original_max_position_embeddings", whole.get("original_max_position_embeddings", context));

  if (type == "default") {
  } else if (type == "linear") {
    const double factor = scaling.positive("factor", type);
    for (double& x : f) x /= factor;
  } else if (type == "llama3") {
    const double factor = scaling.positive("factor", type);
    const double low = scaling.get("low_freq_factor", 1.0), high = scaling.get("high_freq_factor", 4.0);
    expect(original > 0 && low > 0 && high > low, file, ": rope_type llama3: original_max_position_embeddings = ", original, ", low_freq_factor = ",
           low, ", high_freq_factor = ", high);
    for (double& x : f) {
      double wave = 2 * M_PI / x;
      if (wave < original / high) continue;
      double s = (original / wave - low) / (high - low);
      x = wave > original / low ? x / factor : (1 - s) * x / factor + s * x;
    }
  } else if (type == "yarn") {
    const double factor = scaling.positive("factor", type);
    const double fast = scaling.get("beta_fast", 32.0), slow = scaling.get("beta_slow", 1.0);
    expect(original > 0 && fast > 0 && slow > 0, file, ": rope_type yarn: original_max_position_embeddings = ", original, ", beta_fast = ", fast,
           ", beta_slow = ", slow);
    auto find = [&](double rotations) { return d * std::log(original / (rotations * 2 * M_PI)) / (2 * std::log(theta)); };
    double low = find(fast), high = find(slow);
    if (scaling.get("truncate", true)) low = std::floor(low), high = std::ceil(high);
    low = std::max(low, 0.0), high = std::min(high, d - 1.0);
    if (high <= low) high = low + 0.001;
    for (int i = 0; i < d / 2; ++i) {
      double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
      f[i] = f[i] / factor * ramp + f[i] * (1 - ramp);
    }
    auto mscale = [](double s, double m) { return s <= 1 ? 1.0 : 0.1 * m * std::log(s) + 1; };
    double m = scaling.get("mscale", 0.0), all = scaling.get("mscale_all_dim", 0.0);
    double otherwise = m != 0 && all != 0 ? mscale(factor, m) / mscale(factor, all) : mscale(factor, 1);
    r.factor = static_cast<float>(scaling.get("attention_factor", otherwise));
  } else if (is_longrope(type)) {
    expect(original > 1 && std::isfinite(original), file, ": original_max_position_embeddings = ", original,
           ": rope_type longrope needs a context above 1");
    const std::vector<double> divisor = scaling.divisors(whole.get("long_context", false) ? "long_factor" : "short_factor", d / 2);
    for (int i = 0; i < d / 2; ++i) f[i] /= divisor[i];
    if (scaling.v.find("attention_factor")) {
      r.factor = static_cast<float>(scaling.get("attention_factor", 1.0));
    } else {                                             // the two contexts say it too
      const double factor = scaling.v.find("factor") || context <= 0 ? scaling.positive("factor", type) : context / original;
      r.factor = static_cast<float>(factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original)));
    }
  } else if (type == "factors") {
    const std::vector<double> divisor = scaling.divisors("factors", d / 2);
    for (int i = 0; i < d / 2; ++i) f[i] /= divisor[i];
  } else {
    fail(file, ": rope_type '", type, "' is unknown; known: default, linear, llama3, yarn, longrope");
  }
  r.inverse_frequency.assign(f.begin(), f.end());
  return r;
}

Rope read_local_rope(const Value& config, int head_dim, const std::string& file) {
  const Value* p = config.find("rope_parameters");
  if (p && p->find("sliding_attention")) return read_rope(config, head_dim, file, "sliding_attention");
  return read_rope(Object{{"rope_theta", Keys{config, file}.get("rope_local_base_freq", 10000.0)}}, head_dim, file);
}

}  // namespace headrace
