// Several attentions as one softmax (equations: merged_attention.h). A part that a query does not see yet weighs e^-1e30 = 0, so
// shares stay finite without a branch.
#include "mixers/merged_attention.h"

#include <algorithm>

namespace headrace {

Tensor merged(const std::vector<Attended>& parts) {
  if (parts.size() == 1) return parts[0].y;
  const int64_t N = parts[0].y.dim(0), H = parts[0].y.dim(1);
  std::vector<Tensor> logs;
  for (const Attended& p : parts) logs.push_back(p.lse.view({N, H, 1}));
  const Tensor shares = softmax(concat(logs));                           // [N,H,parts]
  Tensor y;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Tensor part = scale_heads(parts[i].y, concat({shares.slice(2, static_cast<int64_t>(i), 1)}).view({N, H}));
    y = y ? y + part : part;
  }
  return y;
}

Attended seen_from(const Attended& part, std::span<const int32_t> positions, int64_t first) {
  std::vector<int32_t> past(positions.begin(), positions.end());         // 0 before `first`
  for (int32_t& p : past) p = static_cast<int32_t>(std::max<int64_t>(0, p - first + 1));
  const Tensor none = Tensor::zeros({part.lse.dim(0), 1}, DType::f32, part.lse.device());
  return {part.y, part.lse + where_starts(past, -1e30f, none)};
}

MergedAttention MergedAttention::bind(const Scope& s, Options o) {
  const int D = o.width, K = D / o.heads;
  if (o.rope.base > 0) o.rope.rotary = K / 2 * 2;
  fill_frequencies(o.rope);
  MergedAttention m{.o = o, .q = Linear::bind(s / "q_proj", D, D), .k = Linear::bind(s / "k_proj", D, D), .v = Linear::bind(s / "v_proj", D, D),
                    .token_keys = {}, .token_values = {}};
  if (o.tokens == 0) return m;
  const Tensor tokens = s("persistent", {o.tokens, D});
  m.token_keys = m.k(tokens).view({o.tokens, o.heads, K});
  m.token_values = m.v(tokens).view({o.tokens, o.heads, K});
  return m;
}

Tensor MergedAttention::operator()(const Tensor& x, const Tensor& context, Pass p) const {
  const int64_t N = x.dim(0), K = o.width / o.heads;
  const Shape by_head{N, o.heads, K};
  const Tensor plain = q(x).view(by_head), turned = headrace::rope(plain, o.rope, p.positions());
  const auto over = [&](const Tensor& of, const char* slot) {
    auto kv = linear(of, {{k.weight, k.bias}, {v.weight, v.bias}});
    return attention_with_lse(turned, headrace::rope(kv[0].view(by_head), o.rope, p.positions()), kv[1].view(by_head), o.attend, p.slot(slot));
  };
  std::vector<Attended> parts{over(x, "kv")};
  if (context) parts.push_back(over(context, "context_kv"));
  if (o.tokens > 0) {
    Attention all{.causal = false, .sinks = {}, .slopes = {}};
    std::vector<int64_t> offsets{0};
    std::vector<Tensor> keys, values;
    const Slot here{.sequences = {p.batch->offsets}, .values = {}};
    for (int s = 0; s < here.sequences.count(); ++s) {
      offsets.push_back(offsets.back() + o.tokens);
      keys.push_back(token_keys), values.push_back(token_values);
    }
    all.keys = {offsets};
    if (keys.empty()) return plain.view({N, int64_t{o.width}});
    parts.push_back(attention_with_lse(plain, concat_rows(keys), concat_rows(values), all, here));
  }
  return merged(parts).view({N, int64_t{o.width}});
}

}  // namespace headrace
