// y = x W^T + b for packed weights: the input is quantised once a call for block dtypes, panels are cut among threads.
#include <algorithm>
#include <array>
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

// -zero times the sums, for one zero and halves.
struct Starts { int zero, halves; std::vector<int32_t> values; };
// An input in 8 bits; the calling thread keeps the memory between calls.
struct Quantised {
  Rows x;
  std::vector<int8_t> quants;
  std::vector<float> scales, sums[2];              // sums: of half blocks; of whole blocks
  std::vector<float> tile_scales, tile_sums[2];
  std::vector<int32_t> raw;
  std::vector<Starts> starts;                      // of the formats that met this input
  size_t starts_used = 0;
};

void quantise_rows(Rows x, Quantised& s) {
  s.x = x, s.starts_used = 0;
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

const int32_t* starts_for(const PanelFormat& f, Quantised& s) {
  for (size_t i = 0; i < s.starts_used; ++i)
    if (s.starts[i].zero == f.zero && s.starts[i].halves == f.halves) return s.starts[i].values.data();
  if (s.starts.size() == s.starts_used) s.starts.emplace_back();
  Starts& e = s.starts[s.starts_used++];
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
  int64_t first, end;                              // its panels among all parts'
  int64_t bytes_before;                            // of panels
};

// One panel times rows [m0, m0 + rows).
void multiply(const Work& w, int64_t panel, const DotTable& table, int64_t m0, int rows, const float* const* in, float** y) {
  const int64_t row = panel * panel_rows, K = w.part->x.cols;
  const int valid = static_cast<int>(std::min<int64_t>(panel_rows, w.part->weight->dim(0) - row));
  const float* bias = w.part->bias ? w.part->bias + row : nullptr;
  for (int m = 0; m < rows; ++m) y[m] = w.part->y[m0 + m] + row;
  const uint8_t* data = w.data + panel * w.panel_bytes;
  if (w.part->exact && w.format) {
    static thread_local std::vector<float> values;
    values.resize(static_cast<size_t>(K * panel_rows));
    panel_values(*w.format, data, K, values.data());
    return table.plain[static_cast<int>(DType::f32)](values.data(), K, in, rows, y, bias, valid);
  }
  if (!w.format) return table.plain[static_cast<int>(w.part->weight->dtype())](data, K, in, rows, y, bias, valid);
  table.blocks[static_cast<int>(w.format->dtype)](data, K, w.rows.from(m0, K), rows, y, bias, valid);
}

// A weight as it lies in its file, or as training changes it: what packing it for one call would cost goes into one product of plain matrices.
void unpacked_product(const LinearPart& p) {
  const Rows x = p.x;
  const Tensor& w = *p.weight;
  const int64_t N = w.dim(0), K = w.dim(1);
  const Tensor plain = w.dtype() == DType::f32 ? w : dequantised(w);
  for (int64_t m = 0; p.bias && m < x.rows; ++m) std::copy_n(p.bias, N, p.y[m]);
  const Rows b = rows_of(plain);
  product({.a_transposed = false, .b_transposed = true, .m = x.rows, .n = N, .k = K, .a = x.data, .lda = x.stride,
           .b = b.data, .ldb = b.stride, .c = p.y.data, .ldc = p.y.stride, .add = p.bias != nullptr, .bf16 = p.bf16});
}

}  // namespace

void linear(std::span<const LinearPart> parts) {
  if (parts.empty() || parts[0].x.rows == 0) return;
  for (const LinearPart& p : parts) {
    expect(p.weight->layout() == parts[0].weight->layout(), "linear: packed and unpacked weights together");
    expect(!p.bf16 || p.weight->layout() != Layout::panel, "linear: a packed weight in a product that rounds to bf16");
    if (p.weight->layout() != Layout::panel) unpacked_product(p);
  }
  if (parts[0].weight->layout() != Layout::panel) return;
  static thread_local std::array<Quantised, 8> inputs; // the caller's; the threads below read it through `works`
  std::array<Work, 8> works;
  size_t quantised = 0;
  int64_t panels = 0, bytes = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Rows x = parts[i].x;
    const Tensor& w = *parts[i].weight;
    const PanelFormat* f = panel_format(w.dtype());
    const int64_t n = (w.dim(0) + panel_rows - 1) / panel_rows;
    works[i] = {&parts[i], f, {}, w.data<uint8_t>(), cpu::panel_bytes(w.dtype(), panel_rows, x.cols), panels, panels + n, bytes};
    panels += n, bytes += n * static_cast<int64_t>(works[i].panel_bytes);
    if (!f || parts[i].exact) continue;
    size_t q = 0;
    while (q < quantised && !(inputs[q].x.data == x.data && inputs[q].x.stride == x.stride && inputs[q].x.cols == x.cols)) ++q;
    if (q == quantised) quantise_rows(x, inputs[quantised++]);
    Quantised& in = inputs[q];
    const int sums = f->halves == 2 ? 0 : 1;
    works[i].rows = {in.quants.data(), in.scales.data(), in.sums[sums].data(), starts_for(*f, in), in.tile_scales.data(), in.tile_sums[sums].data()};
  }
  const std::span<const Work> all(works.data(), parts.size());
  const int64_t M = parts[0].x.rows;
  const DotTable& table = dots();
  // Units of work: a run of panels times a strip of rows, both small enough to stay in the second-level cache while they meet, so that
  // rows from further away are read once for each run and not for each panel.
  int64_t row_bytes = 1;
  for (const Work& w : all) row_bytes = std::max(row_bytes, w.part->x.cols * (w.format && !w.part->exact ? 1 : 4));
  const int64_t most_rows = std::max<int64_t>(48, (int64_t{384} << 10) / row_bytes / 48 * 48), least_strips = (M + most_rows - 1) / most_rows;
  const int64_t strip = (M / least_strips + 47) / 48 * 48, strips = (M + strip - 1) / strip;     // of about equal rows
  constexpr int64_t worth = 48 << 10;                        // bytes of weights below which a second thread comes too late
  const int64_t pieces = bytes * M < worth ? 1 : std::clamp<int64_t>(panels * strips, 1, thread_count());
  const int64_t near = std::max<int64_t>(1, panels * (int64_t{512} << 10) / std::max<int64_t>(bytes, 1));   // panels of a run
  const int64_t run = std::clamp<int64_t>(panels * strips / (16 * pieces), 1, strips > 1 ? near : std::max<int64_t>(panels, 1));
  const int64_t units = (panels + run - 1) / run * strips;
  // Each thread has its own stretch of units, about as many bytes of panels as the others', read in order; one that is done takes those of
  // others. A panel's sums do not depend on who makes them.
  auto unit_at = [&](int64_t byte) {
    for (const Work& w : all)
      if (const int64_t each = static_cast<int64_t>(w.panel_bytes); byte < w.bytes_before + (w.end - w.first) * each)
        return (w.first + (byte - w.bytes_before) / each) * strips / run;
    return units;
  };
  constexpr int most = 64;
  struct alignas(64) Stretch { std::atomic<int64_t> next; int64_t end; };
  Stretch stretches[most];
  for (int64_t p = 0; p < pieces; ++p) stretches[p].next = p ? unit_at(bytes * p / pieces) : 0;
  for (int64_t p = 0; p < pieces; ++p) stretches[p].end = p + 1 < pieces ? stretches[p + 1].next.load() : units;
  parallel(pieces, 1, [&](int64_t piece, int64_t, int) {
    std::vector<float*> y(static_cast<size_t>(strip));
    std::vector<const float*> in(static_cast<size_t>(strip));
    for (int64_t p = 0; p < pieces;) {
      Stretch& s = stretches[(piece + p) % pieces];
      const int64_t unit = s.next.fetch_add(1, std::memory_order_relaxed);
      if (unit >= s.end) {
        ++p;
        continue;
      }
      const int64_t begin = unit / strips * run, end = std::min(panels, begin + run), m0 = unit % strips * strip;
      const int rows = static_cast<int>(std::min(strip, M - m0));
      for (const Work& w : all) {
        const int64_t from = std::max(begin, w.first), to = std::min(end, w.end);
        for (int m = 0; from < to && m < rows; ++m) in[m] = w.part->x[m0 + m];
        for (int64_t panel = from; panel < to; ++panel) multiply(w, panel - w.first, table, m0, rows, in.data(), y.data());
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
