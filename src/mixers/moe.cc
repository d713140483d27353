// Mixture of experts (papers, equations: moe.h): rows are gathered by expert, so each expert is one product of the tokens sent to it.
#include "mixers/moe.h"

#include "ops/tape.h"

namespace headrace {

const MixerDoc Moe::doc{
    "moe", "channels", "mixture of experts", "Shazeer et al. 2017 (1701.06538); Jiang et al. 2024 (2401.04088); Lieber et al. 2024 (2403.19887)",
    "p = softmax(W_r x),  K = the k largest of E\ny = sum_{e in K} w_e W_down,e (silu(W_gate,e x) * W_up,e x),  w_e = p_e / sum_K p, or p_e",
    "router [E, d], experts: W_gate, W_up [F, d], W_down [d, F] each", "none", "O(k d F + d E)", "O(T (k d F + d E))", "mixers/moe.h"};

Moe Moe::bind(const Scope& s, Options o) {
  Moe m{.o = o, .router = Linear::bind(s / "router", o.width, o.experts), .experts = {}};
  for (int e = 0; e < o.experts; ++e) {
    const Scope x = s / "experts" / e;
    m.experts.push_back({Linear::bind(x / "gate_proj", o.width, o.hidden), Linear::bind(x / "up_proj", o.width, o.hidden),
                         Linear::bind(x / "down_proj", o.hidden, o.width, false, Init::output(o.layers))});
  }
  return m;
}

Tensor Moe::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), E = o.experts, k = o.top;
  if (N == 0) return 1.f * x;                                    // nobody to send anywhere
  const Tensor score = softmax(router(x));                       // [N,E]
  const TopK best = top_k(score, k);
  Tensor weight = best.values;                                   // [N,k]
  if (o.normalise) weight = weight * reciprocal(sum_columns(weight)).view({N, 1});
  // Choice j of token n is row n k + j of the weights; by expert, its output is row place[j][n].
  const bool planned = x.device() == Device::meta;               // a plan spreads tokens evenly
  const Tensor columns = planned ? Tensor{} : copy_to(best.columns, Device::cpu);
  std::vector<std::vector<int64_t>> tokens(static_cast<size_t>(E)), choices(static_cast<size_t>(E)), place(static_cast<size_t>(k));
  for (int64_t i = 0; i < N * k; ++i) {
    const auto e = static_cast<size_t>(planned ? i % E : columns.data<int64_t>()[i]);
    tokens[e].push_back(i / k), choices[e].push_back(i);
  }
  for (auto& rows : place) rows.resize(static_cast<size_t>(N));
  std::vector<Tensor> parts;
  int64_t at = 0;
  for (size_t e = 0; e < tokens.size(); ++e) {
    if (tokens[e].empty()) continue;
    parts.push_back(experts[e](take_rows(x, tokens[e])) * take_rows(weight.view({N * k, 1}), choices[e]));
    for (int64_t i : choices[e]) place[static_cast<size_t>(i % k)][static_cast<size_t>(i / k)] = at++;
  }
  const Tensor all = concat_rows(parts);
  Tensor y = take_rows(all, place[0]);
  for (size_t j = 1; j < place.size(); ++j) y = y + take_rows(all, place[j]);
  if (recording(score) || p.batch->training) {
    std::vector<float> share;                                    // E f_e / N: a constant
    for (const auto& chosen : tokens) share.push_back(static_cast<float>(E * static_cast<int64_t>(chosen.size())) / static_cast<float>(N * N));
    const Tensor f = copy_to(Tensor::from(share, {1, E}), x.device());
    const Tensor loss = sum_columns(sum_rows(score).view({1, E}) * f);
    Tensor& balance = p.batch->shared["moe.balance"];
    balance = balance ? balance + loss : loss;
  }
  return y;
}

}  // namespace headrace
