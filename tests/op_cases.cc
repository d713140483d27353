// The ops without time, as the laws run them: arguments, shapes that can fail, and how far a device may differ from the definition.
#include "op_cases.h"

#include <memory>

#include "ops/complex.h"
#include "ops/ops.h"
#include "ops/sequence.h"
#include "ops/training.h"
#include "tensor/blocks.h"

namespace headrace {

Tensor exact_rows(Random& r, int64_t rows, int64_t cols) {
  Tensor x = r.host_rows({rows, cols});
  for (int64_t i = 0; i < rows && r.device != Device::meta; ++i) {
    float* row = x.f32() + i * x.stride(0);
    for (int64_t j = 0; j < cols; ++j) row[j] = static_cast<float>(r.below(255) - 127) / 64;
    for (int64_t j = 0; j + 32 <= cols; j += 32) row[j + r.below(32)] = 127.f / 64;
  }
  return moved(x, r.device);
}
Tensor weight(Random& r, DType dtype, int64_t out, int64_t in) {
  if (r.device == Device::meta) return Tensor::empty({out, in}, dtype, Device::meta);
  Tensor x = r.host_rows({out, in}, true), w = Tensor::empty({out, in}, dtype);
  for (int64_t i = 0; i < out; ++i)
    quantise_row(dtype, x.f32() + i * in, w.data<std::byte>() + bytes_of(dtype, i * in), in);
  return copy_to(w, r.device);
}
Tensor packed(const Tensor& w) {
  if (w.device() == Device::meta) return w;
  const Kernels& k = kernels(w.device());
  return k.pack ? k.pack(w) : w;
}

namespace {

std::vector<DType> weight_dtypes() {
  std::vector<DType> all;
  for (int i = 0; i < dtype_count; ++i)
    if (auto t = static_cast<DType>(i); has_values(t) && t != DType::f64) all.push_back(t);
  return all;
}
std::string camel(std::string s) {
  std::string out;
  for (size_t i = 0; i < s.size(); ++i)
    if (s[i] != '_') out += i == 0 || s[i - 1] == '_' ? static_cast<char>(std::toupper(s[i])) : s[i];
  return out;
}

void unaries(std::vector<OpCase>& all) {
  for (int f = 0; f < unary_count; ++f)
    all.push_back({camel(name(static_cast<Unary>(f))), "unary", [f = static_cast<Unary>(f)](Random& r) {
      std::vector<Tensor> ys;
      for (int64_t cols : {1, 16, 37, 300}) {
        Tensor x = r.rows({5, cols});
        // Both tails too, where exp of the argument itself would overflow.
        x = map(x, [&](float v) {
          if (f == Unary::sqrt) return v * v;
          if (f == Unary::log || f == Unary::reciprocal) return v == 0 ? 1 : std::abs(v) * std::exp(4 * v);
          if (f == Unary::sqrt_one_minus_exp) return r.below(2) == 0 ? -1e-6f * v * v : -v * v;
          return f == Unary::exp ? 20 * v : r.below(4) == 0 ? 60 * v : 2 * v;
        });
        ys.push_back(unary(f, x, 1.7f));
        ys.push_back(unary(f, x.view({5, 1, cols}), 0.3f));
      }
      return ys;
    }});
}
void binaries(std::vector<OpCase>& all) {
  for (int f = 0; f < binary_count; ++f)
    all.push_back({camel(name(static_cast<Binary>(f))) + "Of2", "binary", [f = static_cast<Binary>(f)](Random& r) {
      std::vector<Tensor> ys;
      for (int64_t cols : {1, 16, 37, 300}) {
        Tensor a = map(r.rows({5, cols}), [](float v) { return 4 * v; });
        ys.push_back(binary(f, a, r.rows({5, cols})));
        ys.push_back(binary(f, a, r.whole({cols})));                       // a row
        ys.push_back(binary(f, a, r.whole({5, 1})));                       // a column
      }
      ys.push_back(binary(f, r.whole({5, 3, 7}), r.whole({3, 7})));
      return ys;
    }});
}

void norms(std::vector<OpCase>& all) {
  struct Width { int64_t cols; int groups; };
  static constexpr Width widths[] = {{1, 1}, {16, 1}, {37, 1}, {300, 1}, {48, 3}, {35, 5}};
  all.push_back({"RmsNorm", "rms_norm", [](Random& r) {
    std::vector<Tensor> ys;
    for (auto [cols, groups] : widths)
      for (float offset : {0.f, 1.f}) {
        ys.push_back(rms_norm(r.rows({3, cols}), r.whole({cols}), {.eps = 1e-5f, .offset = offset, .groups = groups}));
        ys.push_back(rms_norm(r.rows({3, cols}), {}, {.eps = 1e-2f, .groups = groups}));
      }
    ys.push_back(rms_norm(map(r.rows({3, 40}), [](float v) { return 0 * v; }), r.whole({40})));
    ys.push_back(rms_norm(r.whole({3, 4, 16}), r.whole({16})));
    return ys;
  }});
  all.push_back({"LayerNorm", "layer_norm", [](Random& r) {
    std::vector<Tensor> ys;
    for (auto [cols, groups] : widths) {
      if (cols == groups) continue;
      Tensor x = map(r.rows({3, cols}), [](float v) { return v + 3; });
      ys.push_back(layer_norm(x, r.whole({cols}), r.whole({cols}), 1e-5f, groups));
      ys.push_back(layer_norm(x, r.whole({cols}), {}, 1e-5f, groups));
      ys.push_back(layer_norm(x, {}, {}, 1e-2f, groups));
    }
    return ys;
  }});
  all.push_back({"Softmax", "softmax", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t cols : {1, 16, 37, 300}) {
      ys.push_back(softmax(map(r.rows({5, cols}), [](float v) { return 30 * v; })));
      ys.push_back(softmax(r.whole({5, 2, cols})));
    }
    return ys;
  }});
  all.push_back({"CrossEntropy", "cross_entropy", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t cols : {1, 16, 37, 300}) {
      const std::vector<int32_t> targets{0, static_cast<int32_t>(cols - 1), -1, static_cast<int32_t>(r.below(cols)), 0};
      const Tensor x = map(r.rows({5, cols}), [](float v) { return 20 * v; });
      ys.push_back(cross_entropy(x, targets));
      ys.push_back(cross_entropy(x, targets, {.smoothing = 0.1f, .z = 1e-3f}));
      ys.push_back(linear_cross_entropy(r.rows({5, 12}), r.whole({cols, 12}), targets, 0.5f, {.smoothing = 0.1f}));
    }
    return ys;
  }});
  all.push_back({"Dropout", "dropout", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t cols : {1, 37, 300, 4099})
      ys.push_back(dropout(r.rows({7, cols}), 0.3f, {.seed = 0xfedcba9876543210u, .stream = 0x8000000100000000u + static_cast<uint64_t>(cols)}));
    return ys;
  }});
  all.push_back({"SquareSum", "square_sum", [](Random& r) {
    std::vector<float> sums;
    for (const Shape& s : {Shape{1, 1}, Shape{1, 37}, Shape{5, 300}, Shape{3, 5000}}) sums.push_back(static_cast<float>(square_sum(r.rows(s))));
    return std::vector<Tensor>{copy_to(Tensor::from(sums, {std::ssize(sums)}), r.device)};
  }});
  all.push_back({"AdamStep", "adam_step", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t n : {1, 37, 9000}) {
      Tensor w = r.whole({n}), m = map(r.whole({n}), [](float v) { return 0.1f * v; }), v = map(r.whole({n}), [](float v) { return v * v; });
      adam_step(w, r.whole({n}), m, v, {.rate = 0.01f, .decay = 0.1f, .scale = 0.5f}, 3);
      for (const Tensor& t : {w, m, v}) ys.push_back(t);
    }
    return ys;
  }});
  all.push_back({"Sums", "sum", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t cols : {1, 37, 300})
      for (int64_t n : {0, 1, 33}) {
        const Tensor x = map(r.rows({n, cols}), [](float v) { return v + 1; });
        ys.push_back(sum_rows(x)), ys.push_back(sum_columns(x));
      }
    return ys;
  }});
  all.push_back({"Matmul", "product", [](Random& r) {
    std::vector<Tensor> ys;
    for (bool at : {false, true})
      for (bool bt : {false, true}) {
        const Tensor a = r.rows(at ? Shape{37, 5} : Shape{5, 37}), b = r.rows(bt ? Shape{21, 37} : Shape{37, 21});
        ys.push_back(matmul(map(a, [](float v) { return v + 1; }), b, at, bt));
      }
    return ys;
  }});
  all.push_back({"Entmax", "entmax", [](Random& r) {
    std::vector<Tensor> ys;
    Tensor alphas = r.values({1, 1.0001f, 1.1f, 1.5f, 1.75f, 2, 3, 1.3f});
    for (int64_t cols : {1, 16, 37, 300}) {
      ys.push_back(entmax(map(r.rows({8, cols}), [](float v) { return 3 * v; }), alphas));
      ys.push_back(entmax(r.whole({4, 2, cols}), r.values({1.5f})));
      ys.push_back(entmax(map(r.whole({2, cols}), [](float) { return 2.f; }), r.values({1.9f})));
    }
    return ys;
  }});
  all.push_back({"TopK", "top_k", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t k : {0, 1, 5, 37}) ys.push_back(top_k(r.rows({5, 37}), k).values);
    ys.push_back(top_k(r.whole({3, 2, 300}), 4).values);
    return ys;
  }});
  all.push_back({"ComplexUnary", "complex_unary", [](Random& r) {
    std::vector<Tensor> ys;
    for (ComplexUnary f : {ComplexUnary::zero_order_hold, ComplexUnary::bilinear_log, ComplexUnary::bilinear_gain})
      for (float size : {1e-4f, 0.3f}) {
        const Complex y = unary(f, {map(r.rows({5, 7}), [=](float v) { return -size * std::abs(v); }),
                                    map(r.rows({5, 7}), [=](float v) { return size * v; })});
        ys.push_back(y.re), ys.push_back(y.im);
      }
    return ys;
  }});
  all.push_back({"ModalFilter", "modal_filter", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t taps : {1, 33, 2500})
      ys.push_back(modal_filter({map(r.rows({5, 7}), [](float v) { return -0.003f * std::exp(3 * v); }), r.rows({5, 7})},
                                {r.rows({5, 7}), r.rows({5, 7})}, taps));
    return ys;
  }});
  all.push_back({"Cauchy", "cauchy", [](Random& r) {
    const Complex y = cauchy({r.rows({6, 7}), r.rows({6, 7})},
                             {map(r.rows({3, 7}), [](float v) { return -0.01f - std::abs(v); }), r.rows({3, 7})}, 200);
    return std::vector<Tensor>{y.re, y.im};
  }});
  all.push_back({"InverseFourier", "inverse_fourier", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t n : {1, 2, 64}) ys.push_back(inverse_fourier({r.rows({3, n / 2 + 1}), r.rows({3, n / 2 + 1})}, n));
    return ys;
  }});
  all.push_back({"L2Norm", "l2_norm", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t cols : {1, 16, 37, 300})
      for (bool clamp : {false, true}) {
        ys.push_back(l2_norm(r.rows({3, cols}), 1e-6f, clamp));
        ys.push_back(l2_norm(map(r.whole({3, 2, cols}), [](float v) { return 1e-8f * v; }), 1e-6f, clamp));
      }
    return ys;
  }});
}

void products(std::vector<OpCase>& all) {
  for (DType t : weight_dtypes()) {
    const std::string name = camel(headrace::name(t));
    const int64_t unit = std::max(info(t).block, 1);
    all.push_back({"Linear" + name, "linear", [=](Random& r) {
      std::vector<Tensor> ys;
      for (int64_t in : {is_block(t) ? unit : 7, is_block(t) ? 3 * unit : 100})
        for (int64_t out : {1, 16, 37}) {
          Tensor w = weight(r, t, out, in), p = packed(w), bias = r.whole({out});
          for (int64_t n : {1, 2, 7, 8, 9, 33}) ys.push_back(linear(exact_rows(r, n, in), p, n % 2 ? bias : Tensor{}));
          ys.push_back(linear(exact_rows(r, 3, in), w));                   // not packed
        }
      return ys;
    }, 1e-5});
    all.push_back({"LinearSeveral" + name, "linear", [=](Random& r) {
      const int64_t in = is_block(t) ? 2 * unit : 50;
      Tensor a = packed(weight(r, t, 40, in)), b = packed(weight(r, t, 8, in)), c = packed(weight(r, in % 32 ? DType::f32 : DType::q8_0, 21, in));
      Tensor bias = r.whole({8}), none;
      return linear(exact_rows(r, 5, in), {{a, none}, {b, bias}, {c, none}});
    }, 1e-5});
    // Any input: plain weights meet it in f32; for block weights 8 bits hold 32 values, which leaves an error of a third
    // of a step, here up to 4 standard deviations of it.
    all.push_back({"LinearOfAnyInput" + name, "linear", [=](Random& r) {
      return std::vector<Tensor>{linear(r.rows({9, 256}), packed(weight(r, t, 37, 256)))};
    }, is_block(t) ? 2e-2 : 1e-5});
    all.push_back({"LinearOfAnyInputUnrounded" + name, "linear", [=](Random& r) {
      UseExactInputs unrounded;
      const Tensor bias = r.whole({37});
      std::vector<Tensor> ys;
      for (int64_t n : {1, 9}) ys.push_back(linear(r.rows({n, 256}), packed(weight(r, t, 37, 256)), bias));
      return ys;
    }, 1e-5});
    all.push_back({"Embedding" + name, "embedding", [=](Random& r) {
      const std::vector<int32_t> ids{36, 0, 17, 17, 16};
      Tensor w = weight(r, t, 37, is_block(t) ? 2 * unit : 50);
      return std::vector<Tensor>{embedding(packed(w), ids), embedding(w, ids)};
    }, 1e-6});
  }
  all.push_back({"LinearLong", "linear", [](Random& r) {
    return std::vector<Tensor>{linear(exact_rows(r, 70, 2048), packed(weight(r, DType::q4_k, 200, 2048)))};
  }, 1e-5});
  all.push_back({"BlockLinear", "block_linear", [](Random& r) {
    return std::vector<Tensor>{block_linear(r.rows({5, 24}), r.whole({3, 8, 8}), r.whole({3, 8})),
                               block_linear(r.rows({5, 35}), r.whole({5, 7, 3}), {}), block_linear(r.rows({1, 128}), r.whole({2, 64, 64}), {})};
  }});
}

void heads(std::vector<OpCase>& all) {
  all.push_back({"HeadDot", "head_dot", [](Random& r) {
    return std::vector<Tensor>{head_dot(r.rows({5, 3, 37}), r.rows({5, 3, 37}), r.whole({3, 37})),
        head_dot(r.rows({5, 2, 64}), r.rows({5, 2, 64}), {})};
  }});
  all.push_back({"ScaleHeads", "scale_heads", [](Random& r) {
    return std::vector<Tensor>{scale_heads(r.rows({5, 3, 37}), r.rows({5, 3})), scale_heads(r.rows({1, 2, 64}), r.rows({1, 2}))};
  }});
  all.push_back({"Normalised", "normalise", [](Random& r) {
    const Tensor x = map(r.rows({5, 3, 38}), [](float v) { return v + 3; });
    return std::vector<Tensor>{normalised(x, {}, 1e-3f), normalised(r.rows({5, 3, 38}), map(r.rows({5, 3}), [](float) { return 0.7f; }), 1e-6f)};
  }});
  all.push_back({"Mlstm", "running_max", [](Random& r) {
    const std::vector<int64_t> offsets{0, 3, 3, 40};
    const Slot slot{.sequences = {offsets}, .values = {}};
    const Tensor q = r.rows({40, 3, 8}), k = r.rows({40, 3, 8}), v = r.rows({40, 3, 12});
    const Tensor input = r.rows({40, 3}), forget = log_sigmoid(r.rows({40, 3}));
    return std::vector<Tensor>{mlstm({.q = q, .k = k, .v = v, .input = input, .log_forget = forget}, slot, slot)};
  }, 3e-5});
  all.push_back({"LogLinearInPieces", "linear_scan", [](Random& r) {
    std::vector<SlotValue> states(2);
    std::vector<Tensor> ys;
    int32_t at[] = {0, 0};                           // tokens that each sequence has had
    for (const auto& offsets : std::vector<std::vector<int64_t>>{{0, 11, 12}, {0, 0, 6}, {0, 9, 20}}) {
      const int64_t n = offsets[2];
      std::vector<int32_t> positions;
      for (size_t s : {0, 1})
        for (int64_t i = offsets[s]; i < offsets[s + 1]; ++i) positions.push_back(at[s]++);
      const Tensor q = r.rows({n, 2, 8}), k = r.rows({n, 2, 8}), v = r.rows({n, 2, 12}), levels = r.rows({n, 2, 6});
      const Tensor decay = log_sigmoid(r.rows({n, 2}));
      ys.push_back(log_linear({.q = q, .k = k, .v = v, .levels = levels, .log_decay = decay}, positions,
                              {.sequences = {offsets}, .values = {&states[0], &states[1]}}));
    }
    for (const SlotValue& s : states) ys.push_back(s.value);
    return ys;
  }, 3e-5});
  all.push_back({"LogLinearDelta", "linear_scan", [](Random& r) {
    std::vector<SlotValue> states(2);
    std::vector<Tensor> ys;
    int32_t at[] = {0, 0};
    for (const auto& offsets : std::vector<std::vector<int64_t>>{{0, 117, 123}, {0, 1, 2}, {0, 75, 75}, {0, 3, 80}}) {
      const int64_t n = offsets[2];
      std::vector<int32_t> positions;
      for (size_t s : {0, 1})
        for (int64_t i = offsets[s]; i < offsets[s + 1]; ++i) positions.push_back(at[s]++);
      const Tensor q = r.rows({n, 2, 20}), k = l2_norm(r.whole({n, 2, 20})), v = r.rows({n, 2, 37}), levels = r.rows({n, 2, 10});
      const Tensor decay = log_sigmoid(r.rows({n, 2})), beta = sigmoid(r.rows({n, 2}));
      ys.push_back(log_linear({.q = q, .k = k, .v = v, .levels = levels, .log_decay = decay, .beta = beta, .scale = 0.5f}, positions,
                              {.sequences = {offsets}, .values = {&states[0], &states[1]}}));
      ys.push_back(log_linear({.q = q, .k = k, .v = v, .levels = levels}, positions, {.sequences = {offsets}, .values = {}}));
    }
    for (const SlotValue& s : states) ys.push_back(s.value);
    return ys;
  }, 3e-5});
  all.push_back({"AttentionWithDenominators", "attention", [](Random& r) {
    const std::vector<int64_t> offsets{0, 3, 3, 70}, pooled{0, 0, 0, 16};
    const Slot slot{.sequences = {offsets}, .values = {}};
    const Tensor q = r.rows({70, 4, 16});
    const Attended near = attention_with_lse(q, r.rows({70, 2, 16}), r.rows({70, 2, 20}), {.window = 5}, slot);
    const auto blocks = std::make_shared<const Pattern>(Pattern{.kind = Pattern::Kind::pooled, .block = 4});   // the first see nothing
    const Attended far = attention_with_lse(q, r.rows({16, 2, 16}), r.rows({16, 2, 20}), {.pattern = blocks, .keys = {pooled}}, slot);
    return std::vector<Tensor>{near.y, near.lse, far.y, far.lse};
  }, 3e-5});
  all.push_back({"Rope", "rope", [](Random& r) {
    std::vector<Tensor> ys;
    const std::vector<int32_t> positions{0, 1, 2, 77, 4095, 131071};
    for (bool interleaved : {false, true})
      for (int rotary : {0, 2, 6, 32, 64}) {
        Rope o{.rotary = rotary, .interleaved = interleaved, .factor = 1.2f};
        for (int i = 0; i < rotary / 2; ++i) o.inverse_frequency.push_back(static_cast<float>(std::pow(10000, -2.0 * i / rotary)));
        ys.push_back(rope(r.rows({6, 3, 64}), o, positions));
        if (rotary <= 6) ys.push_back(rope(r.rows({6, 1, 7}), o, positions));
      }
    return ys;
  }, 3e-5});
  all.push_back({"Lerp", "lerp", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t cols : {1, 16, 37, 300}) {
      ys.push_back(lerp(r.rows({5, cols}), r.rows({5, cols}), r.whole({cols})));
      ys.push_back(lerp(r.rows({5, cols}), r.rows({5, cols}), r.rows({5, cols})));
    }
    return ys;
  }});
  all.push_back({"Mix", "mix", [](Random& r) {
    std::vector<Tensor> ys;
    for (int64_t cols : {1, 16, 37, 300}) {
      ys.push_back(mix(r.rows({5, cols}), r.rows({5, cols}), r.whole({3, cols})));
      ys.push_back(mix(r.rows({5, cols}), r.rows({5, cols}), r.whole({5, 3, cols})));
    }
    return ys;
  }});
  all.push_back({"WhereStarts", "where_starts", [](Random& r) {
    const std::vector<int32_t> positions{0, 1, 2, 0, 5};
    return std::vector<Tensor>{where_starts(positions, 1.f, r.rows({5, 37})), where_starts(positions, -2.f, r.rows({5, 1}))};
  }});
  all.push_back({"Concat", "unary", [](Random& r) { return std::vector<Tensor>{concat({r.rows({5, 3}), r.rows({5, 37}), r.rows({5, 16})})}; }});
  all.push_back({"ConcatRows", "", [](Random& r) {
    return std::vector<Tensor>{concat_rows({r.rows({5, 2, 3}), r.rows({0, 2, 3}), r.rows({2, 2, 3})})};
  }});
  all.push_back({"TakeRows", "", [](Random& r) {
    return std::vector<Tensor>{take_rows(r.rows({5, 37}), std::vector<int64_t>{4, 0, 0, 3})};
  }});
  all.push_back({"NoRows", "", [](Random& r) {
    Tensor w = packed(weight(r, DType::q8_0, 5, 64)), x = r.rows({0, 64});
    return std::vector<Tensor>{linear(x, w), rms_norm(x, r.whole({64})), silu(x), x + x, embedding(w, {})};
  }});
}

}  // namespace

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> all = [] {
    std::vector<OpCase> c;
    unaries(c), binaries(c), norms(c), products(c), heads(c);
    return c;
  }();
  return all;
}

}  // namespace headrace
