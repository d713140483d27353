// What the forward of attention's options and the backward of all share, once per Highway target: the way from products of
// queries and keys to scores.
#include "cpu/entmax-inl.h"

#if defined(HEADRACE_CPU_ATTENTION_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_CPU_ATTENTION_INL
#undef HEADRACE_CPU_ATTENTION_INL
#else
#define HEADRACE_CPU_ATTENTION_INL
#endif

#include <cstring>

#include "cpu/gate_sums.h"
#include "cpu/sight.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t page_lanes = HWY_TARGET == HWY_AVX2 ? 8 : 16;

// f(strip, mask) over the places of a page, the mask from the word's bits.
template <class F>
HWY_INLINE void page_strips(uint64_t word, F&& f) {
  uint8_t bits[16];
  std::memcpy(bits, &word, 8);
  for (int64_t i = 0; i < page_tokens; i += page_lanes) f(Full{i}, hn::LoadMaskBits(D(), bits + i / 8));
}

// What is added to the scores of one row on one page.
struct Bias {
  float slope, distance;                 // of the query from the page's first place
  const float* gates;                    // [64] or null
  float gate;
  Bias(const AttentionArgs& a, const GateSums& sums, const PageSight& sight, int sequence, int head, int64_t t, int64_t page)
      : slope(a.slopes ? a.slopes[head] : 0), distance(static_cast<float>(sight.past() + t - page * page_tokens)),
        gates(a.gates ? sums.on_page(sequence, head, page) : nullptr), gate(a.gates ? sums.between(sequence, head, page, sight.past() + t) : 0) {}
};

// Products (times scale) -> scores, -inf where the word has no bit.
HWY_INLINE void finish_scores(float cap, const Bias& b, uint64_t word, const float* raw, float* score) {
  page_strips(word, [&](auto s, auto mask) {
    V x = s.load(raw);
    if (cap > 0) x = hn::Mul(set(cap), tanh_of(hn::Div(x, set(cap))));
    if (b.slope != 0) x = hn::MulAdd(set(b.slope), hn::Sub(hn::Iota(D(), static_cast<float>(s.i)), set(b.distance)), x);
    if (b.gates) x = hn::Add(x, hn::Sub(set(b.gate), s.load(b.gates)));
    s.store(hn::IfThenElse(mask, x, set(-HUGE_VALF)), score);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();
#endif
