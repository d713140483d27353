// Linformer (Wang et al. 2020, 2006.04768; equations: linformer.h): each sequence of a batch becomes m rows of keys and values of
// its own, which its queries then meet as keys apart.
#include "mixers/linformer.h"

#include "base/error.h"
#include "ops/sequence.h"
#include "ops/whole.h"

namespace headrace {

const MixerDoc Linformer::doc{
    "linformer", "attention", "Linformer: keys and values projected along the sequence", "Wang et al. 2020 (2006.04768)",
    "K' = E^T K,  V' = F^T V                     E, F [T_max, m]\no = softmax(q K'^T / sqrt(K)) V';  y = W_o o + b        not causal",
    "W_q, W_k, W_v [H K, d], W_o [d, H K], b [d], E, F [T_max, m]", "none", "none", "O(T m H K)", "mixers/linformer.h", "whole", "cpu"};

void Linformer::Options::check() const {
  expect(int64_t{heads} * head_dim <= 1 << 24 && int64_t{longest} * rows * (share == "none" ? heads : 1) <= int64_t{1} << 30,
         "linformer: heads = ", heads, " of dim = ", head_dim, ", longest = ", longest, ", rows = ", rows);
}

Linformer Linformer::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, HK = int64_t{o.heads} * o.head_dim, m = o.rows;
  const Init all = Init::fan_in();
  const Shape shape = o.share == "none" ? Shape{o.heads, o.longest, m} : Shape{o.longest, m};
  const Scope along = o.share == "layers" ? s.root() / "linformer" : s;
  const double bound = 1 / std::sqrt(static_cast<double>(HK));
  Linformer l{.o = o, .q = Linear::bind(s / "to_q", D, HK, false, all), .k = Linear::bind(s / "to_k", D, HK, false, all),
              .v = Linear::bind(s / "to_v", D, HK, false, all), .out = Linear::bind(s / "to_out", HK, D, true, all, Init::uniform(-bound, bound)),
              .E = along("proj_k", shape, all), .F = {}};
  l.F = o.share == "none" || o.share == "heads" ? s("proj_v", shape, all) : l.E;
  return l;
}

Tensor Linformer::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, K = o.head_dim, m = o.rows;
  const Slot slot = p.slot("whole");
  expect_whole("linformer", slot);
  const auto qkv = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  const auto along = [&](const Tensor& E, const Tensor& rows) {              // [sequences m,H,K]
    std::vector<Tensor> all;
    for (int s = 0; s < slot.sequences.count(); ++s) {
      const int64_t first = slot.sequences.offsets[s], n = slot.sequences.offsets[s + 1] - first;
      expect(n <= o.longest, "linformer: ", n, " tokens; longest = ", o.longest);
      const Tensor sequence = rows.slice(0, first, n);
      if (E.rank() == 2) {
        all.push_back(matmul(E.slice(0, 0, n), sequence, true));
        continue;
      }
      std::vector<Tensor> heads;
      for (int64_t h = 0; h < H; ++h) heads.push_back(matmul(E[h].slice(0, 0, n), sequence.slice(1, h * K, K), true));
      all.push_back(concat(heads));
    }
    return concat_rows(all).view({slot.sequences.count() * m, H, K});
  };
  std::vector<int64_t> keys;
  for (int s = 0; s <= slot.sequences.count(); ++s) keys.push_back(s * m);
  const Tensor y = attention(qkv[0].view({N, H, K}), along(E, qkv[1]), along(F, qkv[2]), {.causal = false, .keys = {keys}}, slot);
  return out(y.view({N, H * K}));
}

}  // namespace headrace
