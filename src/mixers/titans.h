// Titans (Behrouz, Zhong, Mirrokni 2025, 2501.00663): a memory that is trained while it reads, alone and with attention.
//
//   k, q = l2(silu(conv(W_k x))), l2(silu(conv(W_q x))),  v = silu(conv(W_v x))                       by head
//   theta = rate sigmoid(W x + b),  eta, alpha = sigmoid of W x + b, of a chunk: of its mean
//   g = grad 1/2 |M(k) - v|^2 at the weights of the batch's start; with clip=C it becomes g C / sqrt(C^2 + |g|^2)      per token
//   G = sum of theta g,  S = eta S - G,  M = (1 - alpha) M + S                                                           per chunk
//   M(k) = M^T k with one matrix, else k + norm(mlp(k)) (1 + gamma), all of it trained on the way
//
//   titans      y = W_o M(q)
//   titans_mal  y = W_o attention(M(q)), a window, over P trained tokens too
//   titans_mag  y = W_o (sigmoid(rms(attention(x))) * rms(M(q)))
//   titans_mac  by segments: h = M(q), a = attention([P; h; x]) within the segment, the memory learns from a, y = W_o (a * M(q(a)))
//
// titans_mac is causal: token t sees h and x of the tokens up to it, and M is that of the segments before (the paper's figure lets a
// token see all of its segment's h). State: up to 4 times the memory's weights; keys and values of a window or a segment.
#pragma once
#include "mixers/merged_attention.h"

namespace headrace {

struct NeuralMemory {
  struct Options {
    int width, heads, depth, expand, taps, chunk = 1, batch = 1;
    float rate, clip, eps;
    // A segment, where there are such, is a chunk and a batch.
    void visit(auto& v, bool by_segments = false) {
      v("memory_heads", heads, heads_for(width, 64), "heads of the memory", heads_range);
      v("depth", depth, 2, "matrices of the memory; 1: linear, the delta rule with momentum", Range{1, 16});
      v("expand", expand, 4, "hidden width of the memory, times that of a head", Range{1, 64});
      v("conv", taps, 4, "taps of convolutions on q, k and v; 0: none", Range{0, 64});
      v("rate", rate, depth == 1 ? 1.f : 0.1f, "the largest learning rate", Range{0, 1e3});
      v("eps", eps, 1e-5f, "of the norms of keys, queries and the memory", eps_range);
      v("clip", clip, 0.f, "C, above the norm of a token's gradient g in a head's memory: g C / sqrt(C^2 + |g|^2); 0: off", Range{0, 1e12});
      if (by_segments) return;
      v("chunk", chunk, 1, "tokens that share an update", Range{1, 1 << 20});
      v("batch", batch, depth == 1 ? chunk : std::max(16 / chunk, 1) * chunk, "tokens whose gradients are taken at the same weights; 0: all",
        Range{0, 1 << 20});
    }
    void check(const char* name) const;
  };
  Options o;
  Linear q, k, v, rate, momentum, forget;
  Tensor q_conv, k_conv, v_conv, read_conv;                              // [D,taps] or none
  Memory memory;

  static NeuralMemory bind(const Scope& s, Options o, bool reads_apart = false);
  Tensor learn(const Tensor& x, Pass p) const;                           // learns from x [N,D] and answers its queries -> [N,D]
  Tensor read(const Tensor& x, Pass p) const;                            // answers alone, with a convolution of its own

 private:
  Tensor queries(const Tensor& x, const Tensor& conv, const char* slot, Pass p) const;
};

struct Titans {
  static const MixerDoc doc;
  struct Options {
    NeuralMemory::Options memory;
    void place(const Place& at) { memory.width = at.width; }
    void visit(auto& v) { memory.visit(v); }
    void check() const { memory.check("titans"); }
  };
  NeuralMemory memory;
  Linear out;
  static Titans bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;
};

// What the three with attention share.
struct TitansWithAttention {
  NeuralMemory memory;
  MergedAttention attend;
  Norm attention_norm, memory_norm;
  Linear out;
  struct Options {
    NeuralMemory::Options memory;
    MergedAttention::Options attend;
    void place(const Place& at) { memory.width = attend.width = at.width; }
    void visit_window(auto& v) {
      attend.visit(v);
      v("window", attend.attend.window, 1024, "keys that a query sees, itself included; 0: all", Range{0, 1 << 30});
      memory.visit(v);
    }
    void check_both(const char* name) const { attend.check(name), memory.check(name); }
  };
  static TitansWithAttention bind(const Scope& s, const Options& o, bool gated, bool reads_apart = false);
};
struct TitansMal : TitansWithAttention {
  static const MixerDoc doc;
  struct Options : TitansWithAttention::Options {
    void visit(auto& v) { visit_window(v); }
    void check() const { check_both("titans_mal"); }
  };
  static TitansMal bind(const Scope& s, const Options& o) { return {TitansWithAttention::bind(s, o, false)}; }
  Tensor operator()(const Tensor& x, Pass p) const;
};
struct TitansMag : TitansWithAttention {
  static const MixerDoc doc;
  struct Options : TitansWithAttention::Options {
    void visit(auto& v) { visit_window(v); }
    void check() const { check_both("titans_mag"); }
  };
  static TitansMag bind(const Scope& s, const Options& o) { return {TitansWithAttention::bind(s, o, true)}; }
  Tensor operator()(const Tensor& x, Pass p) const;
};
struct TitansMac : TitansWithAttention {
  static const MixerDoc doc;
  struct Options : TitansWithAttention::Options {
    int segment;
    void visit(auto& v) {
      attend.visit(v);
      v("segment", segment, 128, "tokens of a segment: what attention sees, and what the memory learns from at once", Range{1, 1 << 20});
      memory.visit(v, true);
    }
    void check() const { check_both("titans_mac"); }
  };
  int segment;
  static TitansMac bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;
};

}  // namespace headrace
