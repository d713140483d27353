// y = x W^T + b for packed weights: the input is quantised once a call for block dtypes, panels are cut among threads.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "cpu/dot.h"
#include "cpu/kernels.h"
#include "tensor/blocks.h"

namespace headrace::cpu {
namespace {

// Scratch of the calling thread, kept between calls.
struct Scratch {
  std::vector<int8_t> quants;
  std::vector<float> scales, sums[2];              // sums: of half blocks; of whole blocks
  std::vector<float> tile_scales, tile_sums[2];
  std::vector<int32_t> raw, starts;
};
thread_local Scratch scratch;

void quantise_rows(Rows x, Scratch& s) {
  const int64_t M = x.rows, K = x.cols, B = K / 32;
  s.quants.resize(static_cast<size_t>(M * K));
  s.scales.resize(static_cast<size_t>(M * B));
  s.raw.resize(static_cast<size_t>(2 * M * B));
  for (auto& v : s.sums) v.resize(static_cast<size_t>(2 * M * B));
  const DotTable& d = dots();
  const int64_t tiled = d.tiles ? M / 16 * 16 : 0;           // rows in whole tiles
  s.tile_scales.resize(static_cast<size_t>(tiled * B));
  for (auto& v : s.tile_sums) v.resize(static_cast<size_t>(2 * tiled * B));
  parallel(M, 8, [&, out = &s](int64_t begin, int64_t end, int) {
    for (int64_t m = begin; m < end; ++m) {
      d.quantise(x[m], K, out->quants.data() + m * K, out->scales.data() + m * B, out->raw.data() + 2 * m * B);
      for (int64_t b = m * B; b < (m + 1) * B; ++b) {
        const float scale = out->scales[b];
        const int32_t lo = out->raw[2 * b], hi = out->raw[2 * b + 1];
        out->sums[0][2 * b] = scale * static_cast<float>(lo), out->sums[0][2 * b + 1] = scale * static_cast<float>(hi);
        out->sums[1][2 * b] = scale * static_cast<float>(lo + hi);
      }
      if (m >= tiled) continue;
      for (int64_t b = 0; b < B; ++b) {
        const int64_t at = ((m / 16) * B + b) * 16 + m % 16, half = ((m / 16) * B + b) * 32 + m % 16, from = m * B + b;
        out->tile_scales[at] = out->scales[from];
        for (int i : {0, 1}) out->tile_sums[i][half] = out->sums[i][2 * from], out->tile_sums[i][half + 16] = out->sums[i][2 * from + 1];
      }
    }
  });
}

// -zero times the sums, for the formats of this call: one array per (zero, halves) that occurs.
struct Starts { int zero, halves; std::vector<int32_t> values; };
thread_local std::vector<Starts> starts_cache;
const int32_t* starts_for(const PanelFormat& f, const Scratch& s, size_t& used) {
  for (size_t i = 0; i < used; ++i)
    if (starts_cache[i].zero == f.zero && starts_cache[i].halves == f.halves) return starts_cache[i].values.data();
  if (starts_cache.size() == used) starts_cache.emplace_back();
  Starts& e = starts_cache[used++];
  e.zero = f.zero, e.halves = f.halves;
  e.values.resize(s.raw.size());
  for (size_t i = 0; i < s.raw.size(); i += 2) {
    e.values[i] = -f.zero * (f.halves == 2 ? s.raw[i] : s.raw[i] + s.raw[i + 1]);
    e.values[i + 1] = -f.zero * s.raw[i + 1];
  }
  return e.values.data();
}

struct Work {
  const LinearPart* part;
  const PanelFormat* format;
  QuantisedRows rows;
  const uint8_t* data;
  size_t panel_bytes;
  int64_t first;                                   // number of its first panel among all parts'
};

// One panel times rows [m0, m0 + rows).
void multiply(const Work& w, int64_t panel, const DotTable& table, int64_t K, int64_t m0, int rows, const float* const* in, float** y) {
  const int64_t row = panel * panel_rows;
  const int valid = static_cast<int>(std::min<int64_t>(panel_rows, w.part->weight->dim(0) - row));
  const float* bias = w.part->bias ? w.part->bias + row : nullptr;
  for (int m = 0; m < rows; ++m) y[m] = w.part->y[m0 + m] + row;
  const uint8_t* data = w.data + panel * w.panel_bytes;
  if (!w.format) return table.plain[static_cast<int>(w.part->weight->dtype())](data, K, in, rows, y, bias, valid);
  table.blocks[static_cast<int>(w.format->dtype)](data, K, w.rows.from(m0, K), rows, y, bias, valid);
}

// A weight as it lies in its file, or as training changes it: what packing it for one call would cost goes into one product of plain matrices.
void unpacked_product(Rows x, const LinearPart& p) {
  const Tensor& w = *p.weight;
  const int64_t N = w.dim(0), K = w.dim(1);
  const Tensor plain = w.dtype() == DType::f32 ? w : dequantised(w);
  for (int64_t m = 0; p.bias && m < x.rows; ++m) std::copy_n(p.bias, N, p.y[m]);
  const Rows b = rows_of(plain);
  product({.a_transposed = false, .b_transposed = true, .m = x.rows, .n = N, .k = K, .a = x.data, .lda = x.stride,
           .b = b.data, .ldb = b.stride, .c = p.y.data, .ldc = p.y.stride, .add = p.bias != nullptr});
}

}  // namespace

void linear(Rows x, std::span<const LinearPart> parts) {
  if (x.rows == 0) return;
  for (const LinearPart& p : parts) {
    expect(p.weight->layout() == parts[0].weight->layout(), "linear: packed and unpacked weights together");
    if (p.weight->layout() != Layout::panel) unpacked_product(x, p);
  }
  if (parts.empty() || parts[0].weight->layout() != Layout::panel) return;
  const int64_t M = x.rows, K = x.cols;
  const DotTable& table = dots();
  Work works[8];
  int64_t panels = 0;
  size_t starts_used = 0;
  bool quantised = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Tensor& w = *parts[i].weight;
    const PanelFormat* f = panel_format(w.dtype());
    works[i] = {&parts[i], f, {}, w.data<uint8_t>(), cpu::panel_bytes(w.dtype(), panel_rows, K), panels};
    panels += (w.dim(0) + panel_rows - 1) / panel_rows;
    if (!f) continue;
    if (!quantised) quantise_rows(x, scratch), quantised = true;
    works[i].rows = {scratch.quants.data(), scratch.scales.data(), scratch.sums[f->halves == 2 ? 0 : 1].data(), starts_for(*f, scratch, starts_used),
                     scratch.tile_scales.data(), scratch.tile_sums[f->halves == 2 ? 0 : 1].data()};
  }
  // Rows are taken in strips whose quants stay in the second-level cache while the panels stream by.
  const int64_t strip = std::max<int64_t>(16, std::min<int64_t>(M, (int64_t{384} << 10) / std::max<int64_t>(K, 1) / 16 * 16));
  // Each thread has its own stretch of panels, read in order; one that is done takes runs of the others'. A panel's sums do not
  // depend on who makes them.
  constexpr int most = 64;
  struct alignas(64) Stretch { std::atomic<int64_t> next; int64_t end; };
  Stretch stretches[most];
  constexpr int64_t worth = 48 << 10;                        // bytes of weights below which a second thread comes too late
  int64_t bytes = 0;
  for (const LinearPart& p : parts) bytes += static_cast<int64_t>(cpu::panel_bytes(p.weight->dtype(), p.weight->dim(0), K));
  const int64_t pieces = bytes * M < worth ? 1 : std::clamp<int64_t>(panels, 1, thread_count()), run = std::max<int64_t>(1, panels / (16 * pieces));
  for (int64_t p = 0; p < pieces; ++p) stretches[p].next = panels * p / pieces, stretches[p].end = panels * (p + 1) / pieces;
  parallel(pieces, 1, [&](int64_t piece, int64_t, int) {
    std::vector<float*> y(static_cast<size_t>(strip));
    std::vector<const float*> in(static_cast<size_t>(strip));
    for (int64_t p = 0; p < pieces;) {
      Stretch& s = stretches[(piece + p) % pieces];
      const int64_t begin = s.next.fetch_add(run, std::memory_order_relaxed), end = std::min(s.end, begin + run);
      if (begin >= s.end) {
        ++p;
        continue;
      }
      size_t first = 0;
      while (first + 1 < parts.size() && begin >= works[first + 1].first) ++first;
      for (int64_t m0 = 0; m0 < M; m0 += strip) {
        const int rows = static_cast<int>(std::min(strip, M - m0));
        for (int m = 0; m < rows; ++m) in[m] = x[m0 + m];
        size_t i = first;
        for (int64_t panel = begin; panel < end; ++panel) {
          while (i + 1 < parts.size() && panel >= works[i + 1].first) ++i;
          multiply(works[i], panel - works[i].first, table, K, m0, rows, in.data(), y.data());
        }
      }
    }
  });
}

void embedding(const Tensor& table, std::span<const int32_t> ids, Rows y) {
  const int64_t K = table.dim(1);
  for (size_t i = 0; i < ids.size(); ++i) {
    float* out = y[static_cast<int64_t>(i)];
    if (table.layout() == Layout::panel) panel_row(table, ids[i], out);
    else dequantise_row(table.dtype(), table.data<std::byte>() + bytes_of(table.dtype(), ids[i] * K), out, K);
  }
}

}  // namespace headrace::cpu
