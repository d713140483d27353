// Operators of the family of softmax attention.
#include <algorithm>
#include <iterator>
#include <utility>

#include "ops/tape.h"
#include "run/op_call.h"

namespace headrace::op {
namespace {

bool flag(const Call& c, const char* key) {
  const Value* v = c.parameters.find(key);
  bool on = false;
  expect(!v || read_value(*v, on), "op ", c.name, ": parameter ", key, ": wanted true or false");
  return on;
}
int64_t count(const Call& c, const char* key) {
  const int64_t n = c.window(key);
  expect(n > 0, "op ", c.name, ": parameter ", key, " = 0, wanted at least 1");
  return n;
}
std::shared_ptr<const Pattern> pattern(Pattern p) { return std::make_shared<const Pattern>(std::move(p)); }

// An option's scale of 0 is the default: what is not above 0 goes to the queries.
Tensor scaled_queries(const Call& c, float& scale) {
  const Tensor q = c.timed("q");
  scale = static_cast<float>(c.number("scale", 1 / std::sqrt(static_cast<double>(q.dim(2)))));
  return scale > 0 ? q : std::exchange(scale, 1.f) * q;
}
void attend(Call& c, Attention o) {
  std::vector<Tensor> x{scaled_queries(c, o.scale), c.timed("k"), c.timed("v")};
  if (c.has("g")) x.push_back(c.timed("g"));
  auto over_all = [&] {
    return c.over_time(x, [&](const std::vector<Tensor>& x, const Slot& slot) {
      if (x.size() > 3) o.log_gates = x[3];
      return attention(x[0], x[1], x[2], o, slot);
    }, {}, o.causal);
  };
  if (!Tape::current()) return c.give("o", over_all());
  // Between pieces no gradient flows: what a state holds is constant. So values are those of the form, gradients those of the whole.
  Tensor y, values;
  {
    PauseTape pause;
    values = over_all();
  }
  if (c.form != OpForm::naive) c.form = OpForm::whole;
  y = over_all();
  copy_into(values, y);
  c.give("o", y);
}
void attn_causal(Call& c) { attend(c, {}); }
void attn_full(Call& c) { attend(c, {.causal = false}); }
void attn_sliding_window(Call& c) { attend(c, {.window = count(c, "window")}); }
void attn_window_bidir(Call& c) {
  const int64_t half = c.window("half_window");
  attend(c, {.window = half + 1, .causal = false, .ahead = half});
}
void attn_sparse_local(Call& c) { attend(c, {.window = count(c, "width")}); }
void attn_sparse_strided(Call& c) { attend(c, {.pattern = pattern({.kind = Pattern::Kind::strided, .block = count(c, "stride")})}); }
void attn_sparse_strided_merged(Call& c) { attend(c, {.pattern = pattern({.kind = Pattern::Kind::merged, .block = count(c, "stride")})}); }
void attn_sparse_fixed(Call& c) {
  attend(c, {.pattern = pattern({.kind = Pattern::Kind::fixed, .block = count(c, "block"), .extra = c.window("summary")})});
}
void attn_entmax(Call& c) {
  for (const float a : c.raw("alpha").floats()) expect(a >= 1, "op attn_entmax: input alpha holds ", a, ", wanted at least 1");
  attend(c, {.alpha = c.weight("alpha")});
}
void local_attention_blocks(Call& c) {
  const int64_t block = count(c, "window_size"), back = c.parameters.find("look_backward") ? c.window("look_backward") : 1;
  expect(back < (int64_t{1} << 40) / block, "op local_attention_blocks: parameter look_backward = ", back, ", too many windows of ", block);
  if (flag(c, "exact_windowsize")) return attend(c, {.window = block * back + 1});
  attend(c, {.window = block * (back + 1), .pattern = pattern({.kind = Pattern::Kind::chunks, .block = block, .extra = back})});
}
void attn_softcap_sink_alibi(Call& c) {
  Attention o{.cap = static_cast<float>(c.number("cap", 0)), .sinks = c.weight("sinks")};
  expect(o.cap >= 0, "op attn_softcap_sink_alibi: parameter cap = ", o.cap, ", wanted 0 for none or more");
  const int64_t H = c.in.at("q").dim(-2);
  if (flag(c, "alibi")) {
    Tensor s = Tensor::empty({H});
    for (int64_t h = 0; h < H; ++h) s.f32()[h] = static_cast<float>(std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(H)));
    o.slopes = copy_to(s, c.device);
  }
  attend(c, std::move(o));
}

void entmax_of_rows(Call& c) {
  Tensor x = c.raw("x"), alpha = c.raw("alpha");
  c.out["o"] = entmax(x, alpha);
  c.out["sparsemax"] = entmax(x, Tensor::from({2.f}));
  c.out["entmax15"] = entmax(x, Tensor::from({1.5f}));
}

// ---- native sparse attention (Yuan et al. 2025): the means of blocks, blocks chosen by their weight, and a window

// Means of the whole blocks of each sequence: [B*T,H,D] -> [B*(T/block),H,D].
Tensor means(const Call& c, const Tensor& x, int64_t block) {
  const int64_t n = c.T / block, width = x.dim(1) * x.dim(2);
  std::vector<Tensor> parts;
  for (int64_t b = 0; b < c.B; ++b) {
    Tensor rows = x.slice(0, b * c.T, n * block).view({n, block * width}), sum = rows.slice(1, 0, width);
    for (int64_t i = 1; i < block; ++i) sum = sum + rows.slice(1, i * width, width);
    parts.push_back(1.f / static_cast<float>(block) * sum);
  }
  return concat_rows(parts).view({c.B * n, x.dim(1), x.dim(2)});
}
// The blocks of each token and key head, -1 for none, [B,T,Hkv,S]: its own, the one before and the first, then those of the largest
// mean weight among its heads.
Tensor chosen_blocks(const Call& c, const Tensor& q, const Tensor& k, const Tensor& lse, int64_t block, int64_t wanted, double scale) {
  PauseTape pause;                                       // a choice has no gradient
  const int64_t H = q.dim(1), G = k.dim(1), K = q.dim(2), whole = c.T / block, all = (c.T + block - 1) / block, S = std::min(wanted, all);
  Tensor found = Tensor::empty({c.B, c.T, G, wanted}, DType::i64), weight = Tensor::empty({c.T * G, all});
  int64_t* to = found.data<int64_t>();
  for (int64_t b = 0; b < c.B; ++b) {
    for (int64_t t = 0; t < c.T; ++t)
      for (int64_t g = 0; g < G; ++g)
        for (int64_t j = 0; j < all; ++j) {
          const int64_t own = t / block;
          float& w = weight.f32()[(t * G + g) * all + j];
          w = j == own || j == 0 || j == own - 1 ? 1.f : 0.f;
          if (w > 0 || (j + 1) * block - 1 > t || j >= whole) continue;
          for (int64_t h = g * (H / G); h < (g + 1) * (H / G); ++h) {
            const float *x = q.f32() + ((b * c.T + t) * H + h) * K, *y = k.f32() + ((b * whole + j) * G + g) * K;
            double dot = 0;
            for (int64_t d = 0; d < K; ++d) dot += double{x[d]} * y[d];
            w += static_cast<float>(std::exp(scale * dot - lse.f32()[(b * c.T + t) * H + h]) * static_cast<double>(G) / static_cast<double>(H));
          }
        }
    const TopK best = top_k(weight, S);
    for (int64_t t = 0; t < c.T; ++t)
      for (int64_t g = 0; g < G; ++g)
        for (int64_t s = 0; s < wanted; ++s) {
          const int64_t j = s < S ? best.columns.data<int64_t>()[(t * G + g) * S + s] : -1, own = t / block;
          *to++ = j == own || j == 0 || j == own - 1 || (j + 1) * block - 1 <= t ? j : -1;
        }
  }
  return found;
}
void nsa(Call& c) {
  Attention o;
  Tensor q = scaled_queries(c, o.scale), k = c.timed("k"), v = c.timed("v"), y;
  const int64_t block = count(c, "block_size"), wanted = count(c, "block_counts"), window = c.window("window_size"), H = q.dim(1), G = k.dim(1);
  expect(H % G == 0, "op nsa: ", H, " heads of queries for ", G, " of keys");
  auto add = [&](const char* gate, const Tensor& part) {
    Tensor gated = scale_heads(part, c.timed(gate));
    y = y ? y + gated : gated;
  };
  std::vector<int64_t> offsets, block_offsets;
  for (int64_t b = 0; b <= c.B; ++b) offsets.push_back(b * c.T), block_offsets.push_back(b * (c.T / block));
  const Slot slot{.sequences = {offsets}, .values = {}};
  Tensor k_means = q, lse;
  if (c.T >= block) {
    k_means = means(c, k, block);
    Attention seen = o;
    seen.causal = false, seen.keys = {block_offsets}, seen.pattern = pattern({.kind = Pattern::Kind::pooled, .block = block});
    Attended part = attention_with_lse(q, k_means, means(c, v, block), seen, slot);
    add("g_cmp", part.y);
    lse = part.lse;
  }
  const Tensor found = chosen_blocks(c, q, k_means, lse, block, wanted, o.scale);
  Pattern lists{.kind = Pattern::Kind::listed, .block = block, .query_block = 1, .list_heads = static_cast<int>(G)};
  for (int64_t i = 0; i <= c.B * c.T * G; ++i) {
    lists.begin.push_back(std::ssize(lists.blocks));
    if (i == c.B * c.T * G) break;
    const int64_t* row = found.data<int64_t>() + i * wanted;
    std::copy_if(row, row + wanted, std::back_inserter(lists.blocks), [](int64_t j) { return j >= 0; });
    std::sort(lists.blocks.begin() + lists.begin.back(), lists.blocks.end());
  }
  o.pattern = pattern(std::move(lists));
  add("g_slc", attention(q, k, v, o, slot));
  if (window > 0) add("g_swa", attention(q, k, v, {.scale = o.scale, .window = window}, slot));
  c.give("o", y);
  c.out["block_indices"] = found;
}

constexpr const char *qkv_in = "q [B,T,H,K]; k [B,T,Hkv,K]; v [B,T,Hkv,V]", *root = "scale = K^-1/2";
const Entry table[] = {
    {{"attn_causal", qkv_in, root, "o [B,T,H,V]", "softmax(scale q k^T) v over j <= i"}, attn_causal},
    {{"attn_full", qkv_in, root, "o [B,T,H,V]", "softmax(scale q k^T) v, no mask"}, attn_full},
    {{"attn_sliding_window", qkv_in, "window; scale = K^-1/2", "o [B,T,H,V]", "over 0 <= i - j < window"}, attn_sliding_window},
    {{"attn_window_bidir", qkv_in, "half_window; scale = K^-1/2", "o [B,T,H,V]", "over |i - j| <= half_window"}, attn_window_bidir},
    {{"attn_softcap_sink_alibi", "q [B,T,H,K]; k [B,T,Hkv,K]; v [B,T,Hkv,V]; (sinks [H])", "scale = K^-1/2; cap = 0; alibi = false", "o [B,T,H,V]",
      "scores cap tanh(scale q.k / cap) - 2^(-8(h+1)/H) (i - j), a sink logit in the denominator"}, attn_softcap_sink_alibi},
    {{"attn_sparse_local", qkv_in, "width; scale = K^-1/2", "o [B,T,H,V]", "over 0 <= i - j < width"}, attn_sparse_local},
    {{"attn_sparse_strided", qkv_in, "stride; scale = K^-1/2", "o [B,T,H,V]", "over j <= i, (i - j) mod stride = 0"}, attn_sparse_strided},
    {{"attn_sparse_strided_merged", qkv_in, "stride; scale = K^-1/2", "o [B,T,H,V]", "over j <= i, (i - j) mod stride = 0 or i - j < stride"},
        attn_sparse_strided_merged},
    {{"attn_sparse_fixed", qkv_in, "block; summary; scale = K^-1/2", "o [B,T,H,V]",
      "over j <= i in one block with i, or among the last `summary` of any"}, attn_sparse_fixed},
    {{"attn_entmax", "q [B,T,H,K]; k [B,T,Hkv,K]; v [B,T,Hkv,V]; alpha [H]", root, "o [B,T,H,V]",
      "alpha-entmax instead of softmax, causal"}, attn_entmax},
    {{"forgetting_attn", "q [B,T,H,K]; k [B,T,Hkv,K]; v [B,T,Hkv,V]; g [B,T,H]", root, "o [B,T,H,V]",
      "scores scale q.k + sum of g after j up to i, causal"}, attn_causal},
    {{"local_attention_blocks", qkv_in, "window_size; look_backward = 1; exact_windowsize = false; scale = K^-1/2", "o [B,T,H,V]",
      "over j <= i in the block of i and those before it; exact: i - j <= window_size look_backward"}, local_attention_blocks},
    {{"nsa", "q [B,T,H,K]; k [B,T,Hkv,K]; v [B,T,Hkv,V]; g_cmp [B,T,H]; g_slc [B,T,H]; g_swa [B,T,H]",
      "block_size; block_counts; window_size; scale = K^-1/2", "o [B,T,H,V]; block_indices [B,T,Hkv,S]",
      "g_cmp (means of past blocks) + g_slc (blocks chosen by them) + g_swa (window)"}, nsa},
    {{"entmax", "x [B,T]; alpha [B,1]", "", "o [B,T]; sparsemax [B,T]; entmax15 [B,T]",
      "[1 + (alpha-1) (x - t)]_+^(1/(alpha-1)), t such that rows sum to 1"}, entmax_of_rows},
};

}  // namespace

std::span<const Entry> attention_entries() { return table; }

}  // namespace headrace::op
