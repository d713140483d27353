// Sparse Transformer (Child et al. 2019, 1904.10509; equations: sparse_transformer.h): a pattern of attention; "alternating"
// layers are a plain window and a stride in turn.
#include "mixers/sparse_transformer.h"

#include "base/error.h"

namespace headrace {

const MixerDoc SparseTransformer::doc{
    "sparse_transformer", "attention", "Sparse Transformer: strided and fixed patterns", "Child, Gray, Radford, Sutskever 2019 (1904.10509)",
    "y = W_o softmax(q k^T / sqrt(K)) v                 over j <= i with\n"
    "merged: i - j < l or (i - j) mod l = 0;  alternating: one of the two in turn\n"
    "fixed: j in the block of l with i, or among the last c of its block",
    "W_q, W_k, W_v [H K, d], W_o [d, H K]", "keys and values, 2 H K a token", "O((stride + T/stride) H K)", "O(T (stride + T/stride) H K)",
    "mixers/sparse_transformer.h"};

SparseTransformer SparseTransformer::bind(const Scope& s, Options o) {
  const int64_t D = o.width, HK = int64_t{o.heads} * o.head_dim;
  const Init in = Init::normal(0.125 / std::sqrt(static_cast<double>(D)));
  const Init last = Init::normal(0.125 / std::sqrt(static_cast<double>(HK)) / std::sqrt(2.0 * o.layers));
  SparseTransformer m{.o = o, .attend = {}, .q = Linear::bind(s / "q_proj", D, HK, false, in), .k = Linear::bind(s / "k_proj", D, HK, false, in),
                      .v = Linear::bind(s / "v_proj", D, HK, false, in), .out = Linear::bind(s / "o_proj", HK, D, false, last)};
  using Kind = Pattern::Kind;
  Pattern p{.kind = o.pattern == "merged" ? Kind::merged : o.pattern == "fixed" ? Kind::fixed : Kind::strided, .block = o.stride, .extra = 0};
  if (p.kind == Kind::fixed) p.extra = o.summary;
  if (o.pattern == "alternating" && o.nth % 2 == 0) m.attend.window = o.stride;
  else m.attend.pattern = std::make_shared<const Pattern>(std::move(p));
  return m;
}

Tensor SparseTransformer::operator()(const Tensor& x, Pass p) const {
  auto qkv = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  const Shape by_head{x.dim(0), o.heads, o.head_dim};
  Tensor y = attention(qkv[0].view(by_head), qkv[1].view(by_head), qkv[2].view(by_head), attend, p.slot("kv"));
  return out(y.view({x.dim(0), int64_t{o.heads} * o.head_dim}));
}

}  // namespace headrace
