// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011). The n-th number of a seed does not depend on who asks.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

namespace headrace {

struct Philox {
  uint64_t seed = 0, stream = 0;

  std::array<uint32_t, 4> block(uint64_t counter) const {
    std::array<uint32_t, 4> c{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
                              static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      uint64_t a = uint64_t{0xD2511F53u} * c[0], b = uint64_t{0xCD9E8D57u} * c[2];
      c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(b),
           static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(a)};
    }
    return c;
  }
  uint32_t bits(uint64_t i) const { return block(i / 4)[i % 4]; }
  double uniform(uint64_t i) const { return (bits(i) + 0.5) * 0x1p-32; }          // in (0, 1)
  double normal(uint64_t i) const {                                              // Box-Muller on two numbers of their own block
    auto b = block(i ^ 0x8000000000000000u);
    double u = (b[0] + 0.5) * 0x1p-32, v = (b[1] + 0.5) * 0x1p-32;
    return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
  }
};

}  // namespace headrace
