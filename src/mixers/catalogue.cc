// One line for each mixer: what blueprints, `explain`, the laws and the cost tables know is this list.
#include "mixers/catalogue.h"

#include "mixers/aft.h"
#include "mixers/attention.h"
#include "mixers/bigbird.h"
#include "mixers/bmojo.h"
#include "mixers/delta_net.h"
#include "mixers/dsla.h"
#include "mixers/efficient_attention.h"
#include "mixers/entmax_attention.h"
#include "mixers/h3.h"
#include "mixers/hedgehog.h"
#include "mixers/hyena.h"
#include "mixers/hymba.h"
#include "mixers/lfm2_conv.h"
#include "mixers/hgrn.h"
#include "mixers/lightning.h"
#include "mixers/linear_attention.h"
#include "mixers/linear_transformer.h"
#include "mixers/linformer.h"
#include "mixers/longformer.h"
#include "mixers/lru.h"
#include "mixers/lstm.h"
#include "mixers/mamba.h"
#include "mixers/mamba2.h"
#include "mixers/mla.h"
#include "mixers/mlp.h"
#include "mixers/mlstm.h"
#include "mixers/moe.h"
#include "mixers/performer.h"
#include "mixers/reformer.h"
#include "mixers/regla.h"
#include "mixers/rg_lru.h"
#include "mixers/rwkv4.h"
#include "mixers/rwkv5.h"
#include "mixers/rwkv6.h"
#include "mixers/rwkv7.h"
#include "mixers/rwkv_channel_mix.h"
#include "mixers/s4.h"
#include "mixers/s4d.h"
#include "mixers/s5.h"
#include "mixers/slstm.h"
#include "mixers/sparse_transformer.h"
#include "mixers/titans.h"

namespace headrace {
namespace {

constexpr MixerInfo table[] = {
    mixer<AttentionMixer>(),
    mixer<Mla>(),
    mixer<SparseTransformer>(),
    mixer<Longformer>(),
    mixer<BigBirdMixer>(),
    mixer<Reformer>(),
    mixer<EntmaxAttention>(),
    mixer<Linformer>(),
    mixer<LinearTransformer>(),
    mixer<EfficientAttention>(),
    mixer<Performer>(),
    mixer<Hedgehog>(),
    mixer<AftMixer>(),
    mixer<RetNet>(),
    mixer<Gla>(),
    mixer<SimpleGla>(),
    mixer<LinearAttn>(),
    mixer<Regla>(),
    mixer<Dsla>(),
    mixer<Hgrn2>(),
    mixer<TransNormer>(),
    mixer<Lightning>(),
    mixer<DeltaNet>(),
    mixer<GatedDeltaNet>(),
    mixer<GatedDeltaProduct>(),
    mixer<Kda>(),
    mixer<LogLinearAttention>(),
    mixer<LogLinearGdn>(),
    mixer<MlstmBlock>(),
    mixer<MlstmLarge>(),
    mixer<Mamba>(),
    mixer<Mamba2>(),
    mixer<LogLinearMamba2>(),
    mixer<RgLru>(),
    mixer<S4>(),
    mixer<S4d>(),
    mixer<H3>(),
    mixer<Hyena>(),
    mixer<Lfm2Conv>(),
    mixer<Hgrn>(),
    mixer<Lru>(),
    mixer<S5>(),
    mixer<Lstm>(),
    mixer<Gru>(),
    mixer<Slstm>(),
    mixer<Titans>(),
    mixer<TitansMac>(),
    mixer<TitansMag>(),
    mixer<TitansMal>(),
    mixer<BmojoF>(),
    mixer<Bmojo>(),
    mixer<Hymba>(),
    mixer<Rwkv4>(),
    mixer<Rwkv5>(),
    mixer<Rwkv6>(),
    mixer<Rwkv7>(),
    mixer<RwkvChannelMix>(),
    mixer<SwiGlu>(),
    mixer<GeGlu>(),
    mixer<Glu>(),
    mixer<PlainMlp>(),
    mixer<Relu2>(),
    mixer<Moe>(),
};

}  // namespace

std::span<const MixerInfo> mixers() { return table; }
const MixerInfo* find_mixer(std::string_view name) {
  for (const MixerInfo& m : table)
    if (name == m.doc->name) return &m;
  return nullptr;
}
std::string mixer_names() {
  std::string all;
  for (const MixerInfo& m : table) all += std::string(all.empty() ? "" : ", ") + m.doc->name;
  return all;
}

}  // namespace headrace
