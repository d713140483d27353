// Channel mixers: feed-forward nets on each token alone. State: none. Cost of a token: O(D F).
//
//   swiglu, geglu: y = W_down(act(W_gate x) * W_up x), act = silu, gelu (Shazeer 2020, 2002.05202)
//   glu:           y = l3(l1 x * l2 x), no activation (Qin et al. 2023, TransNormerLLM, 2307.14995)
//   mlp:           y = W_down act(W_up x) (Vaswani et al. 2017, 1706.03762, section 3.3)
//   relu2:         y = W_down relu(W_up x)^2 (So et al. 2021, Primer, 2109.08668)
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct FeedForward {                     // what the options of all have
  int width, hidden;
  bool bias;
  int layers = 1;                        // of the stack: the output begins smaller in a deep one
  void place(const Place& at) { width = at.width, layers = at.layers; }
};
struct SwiGlu {
  static const MixerDoc doc;
  struct Options : FeedForward {
    void visit(auto& v) {
      v("hidden", hidden, round_up(width * 8.0 / 3, 64), "hidden channels; 8/3 d in steps of 64");
      v("bias", bias, false, "of the three matrices");
    }
  };
  static GatedMlp bind(const Scope& s, const Options& o);
};
struct GeGlu {
  static const MixerDoc doc;
  struct Options : FeedForward {
    std::string act;
    void visit(auto& v) {
      v("hidden", hidden, 3 * width, "hidden channels; Griffin's 3 d");
      v("bias", bias, false, "of the three matrices");
      v("act", act, "tanh", "gelu: its tanh approximation, or by erf", Choice{"tanh", "erf"});
    }
  };
  static GatedMlp bind(const Scope& s, const Options& o);
};
struct Glu {
  static const MixerDoc doc;
  using Options = SwiGlu::Options;
  Linear one, two, down;
  static Glu bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x) const;
};
struct PlainMlp {
  static const MixerDoc doc;
  struct Options : FeedForward {
    std::string act;
    void visit(auto& v) {
      v("hidden", hidden, 4 * width, "hidden channels");
      v("bias", bias, true, "of the two matrices");
      v("act", act, "gelu", "activation", Choice{"gelu", "gelu_erf", "relu", "silu"});
    }
  };
  static Mlp bind(const Scope& s, const Options& o);
};
struct Relu2 {
  static const MixerDoc doc;
  struct Options : FeedForward {
    void visit(auto& v) {
      v("hidden", hidden, 4 * width, "hidden channels");
      v("bias", bias, false, "of the two matrices");
    }
  };
  static Mlp bind(const Scope& s, const Options& o);
};

// A gated one of a checkpoint, as a blueprint has it.
std::string gated_text(int width, int hidden, bool bias, Gate act);

}  // namespace headrace
