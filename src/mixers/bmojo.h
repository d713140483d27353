// B'MOJO: a window of attention with a fading memory behind it, and the most surprising tokens of all (Zancato et al. 2024,
// 2407.06324, section 3; the fading form as in awslabs/hybrid-model-factory): the keys of older tokens come from what a
// state-space layer has made of everything up to them.
//
//   f = rms(mamba(x)) w;   q, k, v = W x;   k', v' = W' f, or the same maps (tied);   rotary positions on q, k, k'
//   bmojo_f  o_t = one softmax over {k_s : t - w < s <= t} and {k'_s : t - 2w < s <= t - w};   y = W_o o
//   bmojo    and {k_s : s <= t - w, s among the m of largest |x_s - W_p f_(s-1)|^2 before t's chunk of w tokens}
//
// State: Mamba's, keys and values of w and of 2 w tokens, of 2 m tokens. Cost of a decoded token: Mamba's + O((w + m) d).
#pragma once
#include "mixers/mamba.h"
#include "mixers/merged_attention.h"

namespace headrace {

struct BmojoF {
  static const MixerDoc doc;
  struct Options {
    int width, heads, kv_heads, window;
    float eps;
    bool tied;
    Rope rope;
    Mamba::Options mamba;
    void place(const Place& at) { width = at.width, mamba.place(at); }
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads of queries", heads_range);
      v("kv", kv_heads, heads, "heads of keys and values; they divide heads", heads_range);
      v("window", window, 512, "tokens that are seen themselves, w; of as many before them the summaries are seen");
      v("tied", tied, false, "summaries go through the maps of the tokens");
      v("eps", eps, 1e-5f, "of the summaries' norm", eps_range);
      v("rope", rope.base, 10000, "base of the rotary positions; 0: none", Range{0, 1e12});
      mamba.visit(v);
    }
    void check() const {
      expect(width % heads == 0 && heads % kv_heads == 0, "bmojo_f: heads = ", heads, ", kv = ", kv_heads, " for a width of ", width);
    }
  };
  Options o;
  Mamba mamba;
  Norm norm;
  Linear q, k, v, fading_k, fading_v, out;

  static BmojoF bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;   // x [N,D]

  // The parts of the softmax, and what the eidetic one is made of too.
  struct Parts { Tensor f, q, k, v; std::vector<Attended> seen; };
  Parts parts(const Tensor& x, Pass p) const;
};

struct Bmojo {
  static const MixerDoc doc;
  struct Options {
    BmojoF::Options fading;
    int count;
    void place(const Place& at) { fading.place(at); }
    void visit(auto& v) {
      fading.visit(v);
      v("count", count, 64, "surprising tokens that are kept, m", Range{1, 1 << 16});
    }
    void check() const { fading.check(); }
  };
  BmojoF fading;
  Linear predictor;                      // W_p: the next token from the summary; nothing trains it but a loss of its own
  int count;

  static Bmojo bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;   // x [N,D]
};

}  // namespace headrace
