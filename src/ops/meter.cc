// One counting function for each kernel, in a table as a device has: an op that gets a kernel here gets what it costs (rules: meter.h).
#include "ops/meter.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "ops/kernels.h"
#include "ops/kernels/attention.h"
#include "ops/kernels/cell_scan.h"
#include "ops/kernels/diag_scan.h"
#include "ops/kernels/filters.h"
#include "ops/kernels/linear_scan.h"
#include "ops/kernels/log_linear.h"
#include "ops/kernels/long_conv.h"
#include "ops/kernels/memory_scan.h"
#include "ops/kernels/modal_scan.h"
#include "ops/kernels/short_conv.h"
#include "ops/kernels/training.h"

namespace headrace {
namespace {

thread_local Meter* current_meter = nullptr;

void count(const char* kernel, double flops) { current_meter->add(kernel, flops); }
double size(const Rows& x) { return static_cast<double>(x.rows) * static_cast<double>(x.cols); }
double tokens(const Sequences& s) { return static_cast<double>(s.tokens()); }

// Keys that query i of a sequence of `length` keys sees, for one list of blocks where there are lists.
double seen(const AttentionArgs& a, int64_t i, int64_t length, int64_t list) {
  using Kind = Pattern::Kind;
  static const Pattern window_alone;
  const Pattern& p = a.pattern ? *a.pattern : window_alone;
  const int64_t low = a.window_left > 0 ? std::max<int64_t>(0, i - a.window_left + 1) : 0;
  const int64_t high = a.window_right < 0 ? length : std::min(length, i + a.window_right + 1), B = p.block;
  auto within = [&](int64_t from, int64_t to) { return std::max<int64_t>(0, std::min(high, to) - std::max(low, from)); };
  auto multiples = [&](int64_t from, int64_t to) {                  // j = i modulo the block
    auto below = [&](int64_t j) { return (j - i + (i / B + 1) * B - 1) / B; };
    return from >= to ? 0 : below(to) - below(from);
  };
  int64_t n = 0;
  switch (p.kind) {
    case Kind::window: n = within(0, length); break;
    case Kind::first: n = within(0, length) + std::min({int64_t{p.extra}, low, length}); break;
    case Kind::behind: n = within(0, i - B + 1); break;
    case Kind::strided: n = multiples(low, high); break;
    case Kind::merged: n = within(i - B + 1, i + B) + multiples(low, std::min(high, i - B + 1)) + multiples(std::max(low, i + B), high); break;
    case Kind::fixed: {
      const int64_t own = i / B, blocks = (high - 1) / B - low / B;  // the others
      n = within(own * B, (own + 1) * B) + std::max<int64_t>(0, blocks) * p.extra;
      break;
    }
    case Kind::chunks: n = within((i / B - p.extra) * B, (i / B + 1) * B); break;
    case Kind::pooled: n = std::min(length, (i + 1) / B); break;
    case Kind::listed: {
      const int64_t end = a.window_right == 0 ? std::min(length, i + 1) : length;
      for (int64_t b = p.begin[static_cast<size_t>(list)]; b < p.begin[static_cast<size_t>(list) + 1]; ++b)
        n += std::clamp<int64_t>(end - p.blocks[static_cast<size_t>(b)] * B, 0, B);
      break;
    }
    case Kind::sorted: n = std::min(length, a.window_right == 0 ? B + 1 : 2 * B); break;
  }
  return static_cast<double>(n);
}
// Pairs of a query and a key that it sees, over all heads.
double pairs(const AttentionArgs& a) {
  const bool listed = a.pattern && a.pattern->kind == Pattern::Kind::listed;
  const int64_t groups = listed ? a.pattern->list_heads : 1;
  double all = 0;
  int64_t lists = 0;
  for (int s = 0; s < a.sequences.count(); ++s) {
    const int64_t n = a.sequences.offsets[s + 1] - a.sequences.offsets[s], length = a.keys[s].length, first = a.first_query(s);
    double globals = 0;
    if (a.pattern && !a.pattern->global.empty())
      for (int64_t j = 0; j < length; ++j) globals += a.pattern->global[static_cast<size_t>(a.first_key_row(s) + j)];
    for (int64_t t = 0; t < n; ++t)
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t list = listed ? (lists + t / a.pattern->query_block) * groups + g : 0;
        const bool global = globals > 0 && a.pattern->global[static_cast<size_t>(a.first_key_row(s) + first + t)];
        const double most = static_cast<double>(a.window_right == 0 ? first + t + 1 : length);
        all += (global ? most : std::min(most, seen(a, first + t, length, list) + globals)) * a.heads / static_cast<double>(groups);
      }
    if (listed) lists += (n + a.pattern->query_block - 1) / a.pattern->query_block;
  }
  return all;
}
double attention_flops(const AttentionArgs& a) { return pairs(a) * (2.0 * a.key + 2.0 * a.value + 5); }     // scores, their softmax, values

double linear_scan_flops(const LinearScanArgs& a) {                   // decay, k v^T, S^T q; removals read and write the state once more
  const double removals = (a.beta_stride ? 1 : 0) + (a.a_stride ? 2 : 0);
  return tokens(a.sequences) * a.heads * a.key * a.value * (5 + 2 * removals);
}
double log_linear_flops(const LogLinearArgs& a) {                     // a state for each bit of the position that is 1; k v^T, and their merging
  double states = 0;
  for (int32_t p : a.positions) states += std::popcount(static_cast<uint32_t>(p));
  const double each = a.scan.beta_stride ? 5 : 3;
  return (each * states + 3 * tokens(a.scan.sequences)) * a.scan.heads * a.scan.key * a.scan.value;
}
double memory_scan_flops(const MemoryScanArgs& a) {                   // the query's way; learning: the key's, back, and the sums of a chunk
  const double learning = a.learns ? 6 + 4 / static_cast<double>(a.chunk) : 0;
  return tokens(a.sequences) * a.heads * static_cast<double>(a.net.weights()) * (2 + learning);
}
double diag_scan_flops(const DiagScanArgs& a) {
  const double n = tokens(a.sequences) * a.channels;
  switch (a.kind) {
    case DiagScan::real: return 3 * n;
    case DiagScan::complex: return 8 * n;
    case DiagScan::selective: return n * a.state * 8;                 // exp(dt A), dt B x, the state, C h
    case DiagScan::rwkv4: return 16 * n;
  }
  return 0;
}
double cell_flops(Cell kind, int channels, int heads, const Sequences& sequences) {
  return tokens(sequences) * channels * (2.0 * gates_of(kind) * channels / heads + (kind == Cell::slstm ? 20 : 12));
}
double conv_flops(const ShortConvArgs& a) { return size(a.x) * (2 * a.taps + (a.silu ? 5 : 0)); }
double modal_flops(const ModalScanArgs& a) {             // a product, its sum, its real part; coupled, the input's and the column's, and another sum
  return (a.coupled() ? 12 : 6) * size(a.u) * static_cast<double>(a.pole.rows);
}
double transform(double n) { return 2.5 * n * std::log2(std::max(2.0, n)); }   // of n real numbers

}  // namespace

double long_conv_flops(double inputs, double outputs, double taps) {
  double least = 2 * std::min({inputs * outputs, outputs * taps, inputs * taps});
  const double whole = std::exp2(std::ceil(std::log2(std::max(2.0, inputs + taps - 1))));
  for (double n = std::exp2(std::ceil(std::log2(std::max(2.0, 2 * taps)))); n <= whole; n *= 2) {
    const double blocks = n == whole ? 1 : std::ceil(outputs / (n - taps + 1));
    least = std::min(least, transform(n) + blocks * (2 * transform(n) + 3 * n));
  }
  return least;
}

Meter::Meter() : outer_(current_meter) { current_meter = this; }
Meter::~Meter() { current_meter = outer_; }
Meter* Meter::current() { return current_meter; }
double Meter::flops(const std::string& kernel) const {
  const auto found = by_kernel_.find(kernel);
  return found == by_kernel_.end() ? 0 : found->second;
}

const Kernels& meter_kernels() {
  static const Kernels table{
      .device = "the meter",
      .unary = [](Unary, float, Rows x, Rows) { count("unary", size(x)); },
      .binary = [](Binary, Rows a, Rows, Rows) { count("binary", size(a)); },
      .unary_backward = [](Unary, float, Rows x, Rows, Rows) { count("unary", 2 * size(x)); },
      .sum = [](Rows x, bool, float*) { count("sum", size(x)); },
      .lerp = [](Rows a, Rows, Rows, Rows) { count("lerp", 3 * size(a)); },
      .mix = [](Rows a, Rows, Rows t, float*) { count("mix", 3.0 * static_cast<double>(a.rows) * static_cast<double>(t.cols)); },
      .where_starts = [](std::span<const int32_t>, float, Rows, Rows) {},
      .rms_norm = [](Rows x, const float*, float, float, int, Rows) { count("norm", 4 * size(x)); },
      .layer_norm = [](Rows x, const float*, const float*, float, int, Rows) { count("norm", 7 * size(x)); },
      .l2_norm = [](Rows x, float, bool, int, Rows) { count("norm", 3 * size(x)); },
      .norm_backward = [](const NormBackward& a) { count("norm", 9 * size(a.x)); },
      .softmax = [](Rows x, Rows) { count("softmax", 5 * size(x)); },
      .softmax_backward = [](Rows y, Rows, Rows) { count("softmax", 4 * size(y)); },
      .entmax = [](Rows x, std::span<const float>, Rows) { count("softmax", 5 * size(x)); },
      .entmax_backward = [](const EntmaxBackward& a) { count("softmax", 9 * size(a.x)); },
      .top_k = [](Rows x, Rows, int64_t*) { count("top_k", size(x)); },
      .embedding = [](const Tensor&, std::span<const int32_t>, Rows) {},
      .embedding_backward = [](std::span<const int32_t>, Rows dy, Rows) { count("embedding", size(dy)); },
      .linear = [](std::span<const LinearPart> parts) {
        for (const LinearPart& p : parts) count("linear", 2 * size(p.y) * static_cast<double>(p.x.cols));
      },
      .product = [](const MatrixProduct& a) {
        count("product", 2 * static_cast<double>(a.m) * static_cast<double>(a.n) * static_cast<double>(a.k));
      },
      .block_linear = [](Rows x, const float*, const float*, int blocks, Rows y) {
        count("linear", 2 * size(x) * static_cast<double>(y.cols) / blocks);
      },
      .head_dot = [](Rows a, Rows, const float*, int, Rows) { count("head_dot", 2 * size(a)); },
      .scale_heads = [](Rows x, Rows, int, Rows) { count("scale_heads", size(x)); },
      .rope = [](const RopeArgs& a) { count("rope", 3.0 * static_cast<double>(a.positions.size()) * a.heads * a.rotary); },
      .append_keys = [](const float*, int64_t, const float*, int64_t, int, int, int, const Sequences&, const KeyPages*) {},
      .append_gates = [](Rows log_gates, int64_t, const Sequences&, const KeyPages*) { count("append_gates", size(log_gates)); },
      .attention = [](const AttentionArgs& a) { count("attention", attention_flops(a)); },
      .attention_backward = [](const AttentionBackwardArgs& a) { count("attention", 2.5 * attention_flops(a.forward)); },   // scores again
      .linear_scan = [](const LinearScanArgs& a) { count("linear_scan", linear_scan_flops(a)); },
      .linear_scan_backward = [](const LinearScanBackward& a) { count("linear_scan", 3 * linear_scan_flops(a.forward)); },   // states again
      .log_linear = [](const LogLinearArgs& a) { count("log_linear", log_linear_flops(a)); },
      .running_max = [](Rows, Rows x, const Sequences&, float* const*, Rows, Rows) { count("running_max", 3 * size(x)); },
      .normalise = [](Rows x, Rows, float, int, Rows) { count("normalise", 2 * size(x)); },
      .normalise_backward = [](Rows x, Rows, float, int, Rows, Rows) { count("normalise", 5 * size(x)); },
      .diag_scan = [](const DiagScanArgs& a) { count("diag_scan", diag_scan_flops(a)); },
      .diag_scan_backward = [](const DiagScanBackwardArgs& a) { count("diag_scan", 3 * diag_scan_flops(a.forward)); },
      .cell_scan = [](const CellScanArgs& a) { count("cell_scan", cell_flops(a.kind, a.channels, a.heads, a.sequences)); },
      .cell_scan_backward = [](const CellScanBackwardArgs& a) { count("cell_scan", 2 * cell_flops(a.kind, a.channels, a.heads, a.sequences)); },
      .memory_scan = [](const MemoryScanArgs& a) { count("memory_scan", memory_scan_flops(a)); },
      .memory_scan_backward = [](const MemoryScanBackwardArgs& a) { count("memory_scan", 3 * memory_scan_flops(a.forward)); },
      .short_conv = [](const ShortConvArgs& a) { count("short_conv", conv_flops(a)); },
      .short_conv_backward = [](const ShortConvBackward& a) { count("short_conv", 2 * conv_flops(a.forward)); },
      .long_conv = [](const LongConvArgs& a) {
        for (const LongConvPiece& p : a.pieces) {
          const int64_t taps = std::min(a.taps, p.lag + p.y.rows) - std::max<int64_t>(0, p.lag - p.u.rows + 1);
          if (taps > 0) count("long_conv", static_cast<double>(p.u.cols) * long_conv_flops(static_cast<double>(p.u.rows),
                                                static_cast<double>(p.y.rows), static_cast<double>(taps)));
        }
      },
      .modal_scan = [](const ModalScanArgs& a) { count("modal_scan", modal_flops(a)); },
      .modal_scan_backward = [](const ModalScanBackwardArgs& a) { count("modal_scan", 4 * modal_flops(a.forward)); },   // states again
      .complex_unary = [](ComplexUnary, bool, ComplexRows z, ComplexRows) { count("complex_unary", 10 * size(z.re)); },
      .modal_filter = [](const ModalFilterArgs& a) {
        count("modal_filter", (a.gradient ? 24 : 8) * size(a.k) * static_cast<double>(a.log_pole.re.cols));
      },
      .cauchy = [](const CauchyArgs& a) { count("cauchy", (a.gradient ? 40 : 20) * size(a.r.re) * static_cast<double>(a.z.re.cols)); },
      .inverse_fourier = [](ComplexRows, bool, Rows x) { count("fourier", static_cast<double>(x.rows) * transform(static_cast<double>(x.cols))); },
      .cross_entropy = [](const CrossEntropyArgs& a) { count("cross_entropy", (a.dx.rows ? 6 : 4) * size(a.x)); },
      .cross_entropy_backward = [](const CrossEntropyBackwardArgs& a) { count("cross_entropy", 3 * size(a.x)); },
      .dropout = [](const DropoutArgs& a) { count("dropout", size(a.x)); },
      .square_sum = [](Rows x, double*) { count("square_sum", 2 * size(x)); },
      .adam_step = [](const AdamArgs& a) { count("adam_step", 14 * static_cast<double>(a.count)); },
      .pack = nullptr, .synchronize = nullptr, .peak = nullptr, .instructions = nullptr,
  };
  return table;
}

}  // namespace headrace
