// Operators of the family of softmax attention.
#include <algorithm>

#include "run/op_call.h"

namespace headrace::op {
namespace {

void attend(Call& c, Attention o) {
  o.scale = static_cast<float>(c.number("scale", 0));
  Tensor y = c.over_time({c.timed("q"), c.timed("k"), c.timed("v")},
                         [&](const std::vector<Tensor>& x, const Slot& slot) { return attention(x[0], x[1], x[2], o, slot); }, {}, o.causal);
  c.give("o", y);
}
void attn_causal(Call& c) { attend(c, {}); }
void attn_full(Call& c) { attend(c, {.causal = false}); }
void attn_sliding_window(Call& c) { attend(c, {.window = c.window("window")}); }
void attn_window_bidir(Call& c) {
  const int64_t half = c.window("half_window");
  attend(c, {.window = half + 1, .causal = false, .ahead = half});
}
void attn_softcap_sink_alibi(Call& c) {
  Attention o{.cap = static_cast<float>(c.number("cap", 0)), .sinks = c.weight("sinks")};
  const int64_t H = c.in.at("q").dim(-2);
  const Value* alibi = c.parameters.find("alibi");
  bool slopes = false;
  expect(!alibi || read_value(*alibi, slopes), "op ", c.name, ": parameter alibi: wanted true or false");
  if (slopes) {
    Tensor s = Tensor::empty({H});
    for (int64_t h = 0; h < H; ++h) s.f32()[h] = static_cast<float>(std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(H)));
    o.slopes = copy_to(s, c.device);
  }
  attend(c, std::move(o));
}

constexpr const char *qkv_in = "q [B,T,H,K]; k [B,T,Hkv,K]; v [B,T,Hkv,V]", *root = "scale = K^-1/2";
const Entry table[] = {
    {{"attn_causal", qkv_in, root, "o [B,T,H,V]", "softmax(scale q k^T) v over j <= i"}, attn_causal},
    {{"attn_full", qkv_in, root, "o [B,T,H,V]", "softmax(scale q k^T) v, no mask"}, attn_full},
    {{"attn_sliding_window", qkv_in, "window; scale = K^-1/2", "o [B,T,H,V]", "over 0 <= i - j < window"}, attn_sliding_window},
    {{"attn_window_bidir", qkv_in, "half_window; scale = K^-1/2", "o [B,T,H,V]", "over |i - j| <= half_window"}, attn_window_bidir},
    {{"attn_softcap_sink_alibi", "q [B,T,H,K]; k [B,T,Hkv,K]; v [B,T,Hkv,V]; (sinks [H])", "scale = K^-1/2; cap = 0; alibi = false", "o [B,T,H,V]",
      "scores cap tanh(scale q.k / cap) - 2^(-8(h+1)/H) (i - j), a sink logit in the denominator"}, attn_softcap_sink_alibi},
};

}  // namespace

std::span<const Entry> attention_entries() { return table; }

}  // namespace headrace::op
