// Packing: rows of 16 interleaved so that one load has the same k of each, scales and minima apart (layout: panel.h).
#include "cpu/panel.h"

#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "tensor/blocks.h"
#include "tensor/half.h"

namespace headrace::cpu {
namespace {

// A super of one row, format apart: quants as stored (unsigned), scale codes or f16 bits, minima.
struct Super {
  uint8_t quant[256];
  uint16_t d = 0, dmin = 0;              // f16 bits
  uint8_t scale[16] = {}, minimum[16] = {};   // codes of blocks (halves of blocks)
};

uint16_t half_at(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }

// The 6-bit scales and minima of Q4_K and Q5_K: 8 of each in 12 bytes.
void k_scales(const uint8_t* p, Super& s) {
  for (int j = 0; j < 8; ++j) {
    s.scale[j] = j < 4 ? p[j] & 63 : (p[j + 4] & 15) | (p[j - 4] >> 6) << 4;
    s.minimum[j] = j < 4 ? p[j + 4] & 63 : (p[j + 4] >> 4) | (p[j] >> 6) << 4;
  }
}

void unpack(DType t, const uint8_t* p, Super& s) {
  auto nibbles = [&](const uint8_t* q) {
    for (int i = 0; i < 16; ++i) s.quant[i] = q[i] & 15, s.quant[i + 16] = q[i] >> 4;
  };
  auto fifth = [&](const uint8_t* h) {
    uint32_t bits;
    std::memcpy(&bits, h, 4);
    for (int i = 0; i < 32; ++i) s.quant[i] |= (bits >> i & 1) << 4;
  };
  switch (t) {
    case DType::q4_0: case DType::iq4_nl: s.d = half_at(p), nibbles(p + 2); break;
    case DType::q4_1: s.d = half_at(p), s.dmin = half_at(p + 2), nibbles(p + 4); break;
    case DType::q5_0: s.d = half_at(p), nibbles(p + 6), fifth(p + 2); break;
    case DType::q5_1: s.d = half_at(p), s.dmin = half_at(p + 2), nibbles(p + 8), fifth(p + 4); break;
    case DType::q8_0:
      s.d = half_at(p);
      for (int i = 0; i < 32; ++i) s.quant[i] = p[2 + i] ^ 0x80;
      break;
    case DType::q4_k: case DType::q5_k: {
      s.d = half_at(p), s.dmin = half_at(p + 2), k_scales(p + 4, s);
      const uint8_t* q = p + (t == DType::q4_k ? 16 : 48);
      for (int i = 0; i < 256; ++i) {
        s.quant[i] = i / 32 % 2 ? q[i / 64 * 32 + i % 32] >> 4 : q[i / 64 * 32 + i % 32] & 15;
        if (t == DType::q5_k) s.quant[i] |= (p[16 + i % 32] >> (i / 32) & 1) << 4;
      }
      break;
    }
    case DType::q6_k:
      s.d = half_at(p + 208), std::memcpy(s.scale, p + 192, 16);
      for (int i = 0; i < 256; ++i) {
        int half = i / 128, r = i % 128, l = r % 32, quarter = r / 32;
        const uint8_t* low = p + half * 64;
        int nibble = quarter < 2 ? low[l + 32 * (quarter & 1)] & 15 : low[l + 32 * (quarter & 1)] >> 4;
        s.quant[i] = static_cast<uint8_t>(nibble | (p[128 + half * 32 + l] >> (2 * quarter) & 3) << 4);
      }
      break;
    case DType::q3_k: {
      s.d = half_at(p + 108);
      const uint8_t* c = p + 96;
      for (int j = 0; j < 16; ++j) {
        int low = j < 8 ? c[j] & 15 : c[j - 8] >> 4;
        s.scale[j] = static_cast<uint8_t>((low | (c[8 + j % 4] >> (2 * (j / 4)) & 3) << 4) - 32);
      }
      for (int i = 0; i < 256; ++i)
        s.quant[i] = static_cast<uint8_t>((p[32 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3) | (p[i % 32] >> (i / 32) & 1) << 2);
      break;
    }
    case DType::q2_k:
      s.d = half_at(p + 80), s.dmin = half_at(p + 82);
      for (int j = 0; j < 16; ++j) s.scale[j] = p[j] & 15, s.minimum[j] = p[j] >> 4;
      for (int i = 0; i < 256; ++i) s.quant[i] = p[16 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
      break;
    case DType::iq4_xs: {
      s.d = half_at(p);
      uint16_t high = half_at(p + 2);
      for (int b = 0; b < 8; ++b) {
        s.scale[b] = static_cast<uint8_t>(((p[4 + b / 2] >> (4 * (b % 2)) & 15) | (high >> (2 * b) & 3) << 4) - 32);
        for (int i = 0; i < 16; ++i) s.quant[32 * b + i] = p[8 + 16 * b + i] & 15, s.quant[32 * b + 16 + i] = p[8 + 16 * b + i] >> 4;
      }
      break;
    }
    default: fail("panel: ", t, " has no panel form");
  }
}

// Stores quant `value` of row r, place i (0..31) of a block.
void put_quant(const PanelFormat& f, uint8_t* q, int r, int i, uint8_t value) {
  int j = i / 4, byte = 4 * r + i % 4;                       // vector and byte within it
  if (f.bits == 8) {
    q[64 * j + byte] = value;
    return;
  }
  q[64 * (j % 4) + byte] |= (value & 15) << (j < 4 ? 0 : 4);
  if (f.bits == 5) q[256 + 8 * j + byte / 8] |= (value >> 4 & 1) << (byte % 8);
  if (f.bits == 6) q[256 + 64 * (j % 2) + byte] |= (value >> 4 & 3) << (2 * (j / 2));
}
uint8_t get_quant(const PanelFormat& f, const uint8_t* q, int r, int i) {
  int j = i / 4, byte = 4 * r + i % 4;
  if (f.bits == 8) return q[64 * j + byte];
  int v = q[64 * (j % 4) + byte] >> (j < 4 ? 0 : 4) & 15;
  if (f.bits == 5) v |= (q[256 + 8 * j + byte / 8] >> (byte % 8) & 1) << 4;
  if (f.bits == 6) v |= (q[256 + 64 * (j % 2) + byte] >> (2 * (j / 2)) & 3) << 4;
  return static_cast<uint8_t>(v);
}

// All quants of a block as they lie: 8 vectors of 16 rows x 4 values.
void get_quants(const PanelFormat& f, const uint8_t* q, uint8_t* out) {
  if (f.bits == 8) {
    std::memcpy(out, q, 512);
    return;
  }
  for (int i = 0; i < 256; ++i) out[i] = q[i] & 15, out[256 + i] = q[i] >> 4;
  for (int i = 0; f.bits == 5 && i < 512; ++i) out[i] |= (q[256 + i / 8] >> (i % 8) & 1) << 4;
  for (int i = 0; f.bits == 6 && i < 512; ++i) out[i] |= (q[256 + i % 128] >> (2 * (i / 128)) & 3) << 4;
}

void put_half(uint8_t* p, int r, uint16_t bits) { std::memcpy(p + 2 * r, &bits, 2); }
uint16_t get_half(const uint8_t* p, int r) {
  uint16_t bits;
  std::memcpy(&bits, p + 2 * r, 2);
  return bits;
}

// Block b of a panel, with what its quants stand for in row r: scale * (quant - zero) + minimum.
struct Block {
  const PanelFormat& f;
  const uint8_t *super, *block;
  Block(const PanelFormat& f, const uint8_t* panel, int64_t b)
      : f(f), super(panel + b / f.blocks * f.super_bytes()), block(super + f.header + b % f.blocks * f.block_bytes()) {}
  const uint8_t* quants() const { return block + f.scales; }
  float scale(int half, int r) const {
    if (f.header == 0) return f16_to_f32(get_half(block, r));
    const uint8_t code = block[16 * half + r];
    return f16_to_f32(get_half(super, r)) * static_cast<float>(f.minimum ? code : static_cast<int8_t>(code));
  }
  float minimum(int half, int r) const {
    if (!f.minimum) return 0;
    return f.header == 0 ? f16_to_f32(get_half(block + 32, r)) : -f16_to_f32(get_half(super + 32, r)) * block[16 * (f.halves + half) + r];
  }
  float value(int q) const { return static_cast<float>(f.lookup ? iq4_values[q] : q - f.zero); }
};

void pack_super(const PanelFormat& f, uint8_t* panel, int r, const Super& s) {
  if (f.header) {
    put_half(panel, r, s.d);
    if (f.minimum) put_half(panel + 32, r, s.dmin);
  }
  for (int b = 0; b < f.blocks; ++b) {
    uint8_t* block = panel + f.header + b * f.block_bytes();
    if (f.header == 0) {
      put_half(block, r, s.d);
      if (f.minimum) put_half(block + 32, r, s.dmin);
    }
    for (int h = 0; f.header && h < f.halves; ++h) {
      block[16 * h + r] = s.scale[f.halves * b + h];
      if (f.minimum) block[16 * (f.halves + h) + r] = s.minimum[f.halves * b + h];
    }
    for (int i = 0; i < 32; ++i) put_quant(f, block + f.scales, r, i, s.quant[32 * b + i]);
  }
}

}  // namespace

size_t panel_bytes(DType dtype, int64_t rows, int64_t cols) {
  int64_t panels = (rows + panel_rows - 1) / panel_rows;
  const PanelFormat* f = panel_format(dtype);
  if (!f) return static_cast<size_t>(panels * panel_rows) * bytes_of(dtype, cols);
  return static_cast<size_t>(panels * (cols / (32 * f->blocks))) * f->super_bytes();
}

Tensor pack(const Tensor& w) {
  expect(w.rank() == 2 && w.layout() == Layout::rows && w.contiguous(), "pack: ", w.shape());
  const int64_t N = w.dim(0), K = w.dim(1), panels = (N + panel_rows - 1) / panel_rows;
  const DType t = w.dtype();
  const PanelFormat* f = panel_format(t);
  if (!f && t != DType::f32 && t != DType::f16 && t != DType::bf16) fail("linear: a weight of dtype ", t);
  size_t total = panel_bytes(t, N, K);
  Tensor p = Tensor::of(w.device() == Device::cpu ? allocate_lasting(total) : allocate(total, w.device()), 0, t, w.shape(), Layout::panel);
  if (w.device() == Device::meta) return p;
  const uint8_t* from = w.data<uint8_t>();
  uint8_t* to = p.data<uint8_t>();
  const size_t each = panels ? total / static_cast<size_t>(panels) : 0, row_bytes = bytes_of(t, K);
  // What was read of a mapped file is let go every megabyte, so that an embedding is not in memory twice.
  const bool mapped = w.storage()->owner != nullptr;
  const int64_t strip = std::max<int64_t>(1, (int64_t{1} << 20) / std::max<int64_t>(1, static_cast<int64_t>(row_bytes) * panel_rows));
  parallel(panels, 1, [&](int64_t begin, int64_t end, int) {
    std::memset(to + begin * each, 0, static_cast<size_t>(end - begin) * each);
    for (int64_t panel = begin; panel < end; ++panel) {
      for (int r = 0; r < panel_rows && panel * panel_rows + r < N; ++r) {
        const uint8_t* row = from + static_cast<size_t>(panel * panel_rows + r) * row_bytes;
        uint8_t* out = to + panel * each;
        if (!f) {
          if (t == DType::f32)
            for (int64_t k = 0; k < K; ++k) std::memcpy(out + 4 * (k * panel_rows + r), row + 4 * k, 4);
          else
            for (int64_t k = 0; k < K; ++k) std::memcpy(out + 2 * (k * panel_rows + r), row + 2 * k, 2);
          continue;
        }
        Super s;
        const size_t super_in = bytes_of(t, 32 * f->blocks);
        for (int64_t b = 0; b < K / (32 * f->blocks); ++b) {
          unpack(t, row + b * super_in, s);
          pack_super(*f, out + b * f->super_bytes(), r, s);
        }
      }
      if (mapped && (panel + 1 - begin) % strip == 0)
        release_pages(from + static_cast<size_t>(panel + 1 - strip) * panel_rows * row_bytes, static_cast<size_t>(strip) * panel_rows * row_bytes);
    }
  });
  return p;
}

void panel_row(const Tensor& w, int64_t row, float* out) {
  const int64_t K = w.dim(1);
  const int r = static_cast<int>(row % panel_rows);
  const PanelFormat* f = panel_format(w.dtype());
  const size_t each = panel_bytes(w.dtype(), panel_rows, K);
  const uint8_t* panel = w.data<uint8_t>() + row / panel_rows * each;
  if (!f) {
    for (int64_t k = 0; k < K; ++k) {
      if (w.dtype() == DType::f32) std::memcpy(out + k, panel + 4 * (k * panel_rows + r), 4);
      else if (w.dtype() == DType::f16) out[k] = f16_to_f32(get_half(panel + 2 * k * panel_rows, r));
      else out[k] = bf16_to_f32(get_half(panel + 2 * k * panel_rows, r));
    }
    return;
  }
  for (int64_t k = 0; k < K; ++k) {
    const Block b(*f, panel, k / 32);
    const int half = f->halves == 2 ? static_cast<int>(k % 32 / 16) : 0;
    out[k] = b.scale(half, r) * b.value(get_quant(*f, b.quants(), r, static_cast<int>(k % 32))) + b.minimum(half, r);
  }
}

void panel_values(const PanelFormat& f, const uint8_t* panel, int64_t K, float* out) {
  float values[256];
  for (int q = 0; q < 256; ++q) values[q] = static_cast<float>(f.lookup ? iq4_values[q & 15] : q - f.zero);
  for (int64_t k = 0; k < K; k += 32, out += 32 * panel_rows) {
    const Block b(f, panel, k / 32);
    float scale[2][panel_rows], minimum[2][panel_rows];
    for (int h = 0; h < f.halves; ++h)
      for (int r = 0; r < panel_rows; ++r) scale[h][r] = b.scale(h, r), minimum[h][r] = b.minimum(h, r);
    uint8_t q[512];
    get_quants(f, b.quants(), q);
    for (int i = 0; i < 32; ++i)
      for (int r = 0, h = i * f.halves / 32; r < panel_rows; ++r)
        out[i * panel_rows + r] = scale[h][r] * values[q[i / 4 * 64 + 4 * r + i % 4]] + minimum[h][r];
  }
}

}  // namespace headrace::cpu
