// What does each operator cost on this CPU, forward, and forward with all its gradients? B sequences of T tokens; 8 heads of 64, vector
// states of 512 channels, cells with the product of their input. bench/versus_torch.py sets the same beside PyTorch's.
//   build/bench_operators [--json] [--threads N] [--batch B] [--tokens T] [--reps R] [NAME...]      no names: all
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "measure.h"
#include "ops/ops.h"
#include "ops/sequence.h"
#include "ops/tape.h"

using namespace headrace;

namespace {

constexpr int64_t H = 8, D = 64, C = H * D;
using Tensors = std::vector<Tensor>;
using Compute = std::function<Tensor(const Tensors&, const Slot&)>;

// A seed of its own for each tensor.
struct Draw {
  int64_t N;
  uint64_t seed = 0;
  Tensor operator()(const Shape& shape, float scale = 1) { return random_normal(shape, ++seed, scale); }
  Tensor heads() { return (*this)({N, H, D}); }
  Tensor rows() { return (*this)({N, C}); }
  Tensor gate() { return log_sigmoid((*this)({N, H})); }            // a log of a decay, one a head
  Tensor gates() { return log_sigmoid((*this)({N, H, D})); }        // one a key channel
  Tensor beta() { return sigmoid((*this)({N, H})); }
};

struct Operator {
  const char* name;
  Tensors (*inputs)(Draw&);
  Compute compute;
};

LinearScan scan_of(const Tensors& x) { return {.q = x[0], .k = x[1], .v = x[2], .scale = 0.125f}; }
Compute scan(void (*set)(LinearScan&, const Tensors&)) {
  return [=](const Tensors& x, const Slot& s) {
    LinearScan args = scan_of(x);
    set(args, x);
    return linear_scan(args, s);
  };
}
Compute attend(const Attention& o) {
  return [=](const Tensors& x, const Slot& s) { return attention(x[0], x[1], x[2], o, s); };
}
Tensors qkv(Draw& d) { return {d.heads(), l2_norm(d.heads()), d.heads()}; }
Tensors with(Tensors x, const Tensor& more) { return x.push_back(more), x; }

template <int gates, int heads>
Tensors cell_inputs(Draw& d) {
  const float s = 0.04f;
  return {d.rows(), d({gates * C, C}, s), d({gates * C}, s), d({gates * C, C / heads}, s), d({gates * C}, s)};
}
Compute cell(Tensor (*f)(const Tensor&, const Tensor&, const Tensor&, const Slot&)) {
  return [=](const Tensors& x, const Slot& s) { return f(linear(x[0], x[1], x[2]), x[3], x[4], s); };
}

std::vector<Operator> operators() {
  Attention merged, entmax;
  merged.pattern = std::make_shared<const Pattern>(Pattern{.kind = Pattern::Kind::merged, .block = 128});
  entmax.alpha = Tensor::from({1.5f, 1.5f, 1.5f, 1.5f, 1.25f, 1.25f, 1.25f, 1.25f});
  return {
      {"attn_causal", qkv, attend({})},
      {"attn_window", qkv, attend({.window = 128})},
      {"attn_merged", qkv, attend(merged)},
      {"attn_entmax", qkv, attend(entmax)},
      {"linear_attn", qkv, scan([](LinearScan&, const Tensors&) {})},
      {"simple_gla", [](Draw& d) { return with(qkv(d), d.gate()); }, scan([](LinearScan& a, const Tensors& x) { a.log_decay = x[3]; })},
      {"gla", [](Draw& d) { return with(qkv(d), d.gates()); }, scan([](LinearScan& a, const Tensors& x) { a.log_decay = x[3]; })},
      {"rwkv6", [](Draw& d) { return with(with(qkv(d), d.gates()), d({H, D})); },
       scan([](LinearScan& a, const Tensors& x) { a.log_decay = x[3], a.bonus = x[4]; })},
      {"delta_rule", [](Draw& d) { return with(qkv(d), d.beta()); }, scan([](LinearScan& a, const Tensors& x) { a.beta = x[3]; })},
      {"gated_delta_rule", [](Draw& d) { return with(with(qkv(d), d.beta()), d.gate()); },
       scan([](LinearScan& a, const Tensors& x) { a.beta = x[3], a.log_decay = x[4]; })},
      {"kda", [](Draw& d) { return with(with(qkv(d), d.beta()), d.gates()); },
       scan([](LinearScan& a, const Tensors& x) { a.beta = x[3], a.log_decay = x[4]; })},
      {"rwkv7", [](Draw& d) {
         const Tensor k = l2_norm(d.heads());
         return Tensors{d.heads(), d.heads(), d.heads(), 0.6f * d.gates(), -1.f * k, 0.5f * k};
       }, scan([](LinearScan& a, const Tensors& x) { a.log_decay = x[3], a.a = x[4], a.b = x[5]; })},
      {"mlstm", [](Draw& d) { return with(with(qkv(d), d({d.N, H})), d.gate()); },
       [](const Tensors& x, const Slot& s) {
         return mlstm({.q = x[0], .k = x[1], .v = x[2], .input = x[3], .log_forget = x[4], .scale = 0.125f}, s, s);
       }},
      {"hgrn", [](Draw& d) { return Tensors{log_sigmoid(d.rows()), d.rows()}; },
       [](const Tensors& x, const Slot& s) { return diag_scan(x[0], x[1], s); }},
      {"complex_scan", [](Draw& d) { return Tensors{d({2 * C}, 0.5f), d({d.N, 2 * C})}; },
       [](const Tensors& x, const Slot& s) { return complex_scan(x[0], x[1], s); }},
      {"mamba_selective_scan", [](Draw& d) {
         return Tensors{d.rows(), softplus(d.rows()), -1.f * exp(d({C, 16})), d({d.N, 16}), d({d.N, 16})};
       }, [](const Tensors& x, const Slot& s) { return selective_scan(x[0], x[1], x[2], x[3], x[4], s); }},
      {"rwkv4_wkv", [](Draw& d) { return Tensors{-1.f * exp(d({C})), d({C}), d.rows(), d.rows()}; },
       [](const Tensors& x, const Slot& s) { return rwkv4_scan(x[0], x[1], x[2], x[3], s); }},
      {"lstm", cell_inputs<4, 1>, cell(lstm_scan)},
      {"gru", cell_inputs<3, 1>, cell(gru_scan)},
      {"slstm", cell_inputs<4, 4>, cell(slstm_scan)},
      {"causal_conv1d", [](Draw& d) { return Tensors{d.rows(), d({C, 4}), d({C})}; },
       [](const Tensors& x, const Slot& s) { return short_conv(x[0], x[1], x[2], true, s); }},
      {"fft_long_conv", [](Draw& d) { return Tensors{d.rows(), d({C, 2048}, 0.02f), d({C})}; },
       [](const Tensors& x, const Slot& s) { return long_conv(x[0], {.filter = x[1], .skip = x[2]}, s); }},
  };
}

}  // namespace

int main(int argc, char** argv) {
  int64_t B = 1, T = 2048;
  int reps = 5;
  bool json = false;
  std::vector<std::string> names;
  for (int i = 1; i < argc; ++i) {
    const auto number = [&](const char* option, auto& n) {
      const bool is = !std::strcmp(argv[i], option) && i + 1 < argc;
      if (is) n = static_cast<std::remove_reference_t<decltype(n)>>(std::atoll(argv[++i]));
      return is;
    };
    int threads = 0;
    if (number("--threads", threads)) set_thread_count(threads);
    else if (!std::strcmp(argv[i], "--json")) json = true;
    else if (!number("--batch", B) && !number("--tokens", T) && !number("--reps", reps)) names.push_back(argv[i]);
  }
  std::vector<int64_t> offsets;
  for (int64_t b = 0; b <= B; ++b) offsets.push_back(b * T);
  const Slot slot{.sequences = {offsets}, .values = {}};
  for (const Operator& o : operators()) {
    if (!names.empty() && std::find(names.begin(), names.end(), o.name) == names.end()) continue;
    Draw draw{B * T};
    const Tensors x = o.inputs(draw);
    const Tensor dy = draw(o.compute(x, slot).shape());
    const double forward = 1e3 * median_seconds(reps, [&] { (void)o.compute(x, slot); });
    const double both = 1e3 * median_seconds(reps, [&] {
      Tape tape;
      for (const Tensor& t : x) tape.watch(t);
      tape.backward(o.compute(x, slot), dy);
    });
    std::printf(json ? "{\"operator\": \"%s\", \"batch\": %lld, \"tokens\": %lld, \"forward_ms\": %.3f, \"both_ms\": %.3f}\n"
                     : "%-22s B=%lld T=%lld %10.2f ms forward %10.2f ms with gradients\n",
                o.name, static_cast<long long>(B), static_cast<long long>(T), forward, both);
    std::fflush(stdout);
  }
}
