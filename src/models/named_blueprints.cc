// The table: one row for each model and size, with the paper that it was published in.
#include "models/named_blueprints.h"

#include <string>

namespace headrace {
namespace {

constexpr NamedBlueprint table[] = {
    {"transformer++", "tiny", "d=64 vocab=256 2*(attn(heads=4) + swiglu)", "Touvron et al. 2023 (2302.13971)"},
    {"transformer++", "small", "d=384 vocab=8192 10*(attn(heads=6) + swiglu)", "Touvron et al. 2023 (2302.13971)"},
    {"transformer++", "1.3b", "d=2048 vocab=32000 tied=off 24*(attn(heads=32) + swiglu(hidden=5632))",
     "the baseline of Yang et al. 2023 (2312.06635)"},
    {"retnet", "tiny", "d=64 vocab=256 2*(retnet(heads=2) + swiglu)", "Sun et al. 2023 (2307.08621)"},
    {"retnet", "small", "d=384 vocab=8192 8*(retnet(heads=6) + swiglu)", "Sun et al. 2023 (2307.08621)"},
    {"retnet", "1.3b", "d=2048 vocab=32000 tied=off 24*(retnet(heads=8) + swiglu(hidden=2752))", "Sun et al. 2023 (2307.08621)"},
    {"gla", "tiny", "d=64 vocab=256 2*(gla(heads=2) + swiglu)", "Yang et al. 2023 (2312.06635)"},
    {"gla", "small", "d=384 vocab=8192 10*(gla + swiglu)", "Yang et al. 2023 (2312.06635)"},
    {"gla", "1.3b", "d=2048 vocab=32000 tied=off 24*(gla(heads=4) + swiglu(hidden=5632))", "Yang et al. 2023 (2312.06635)"},
    {"hgrn2", "tiny", "d=64 vocab=256 2*(hgrn2(heads=2) + swiglu)", "Qin et al. 2024 (2404.07904)"},
    {"hgrn2", "small", "d=384 vocab=8192 10*(hgrn2 + swiglu)", "Qin et al. 2024 (2404.07904)"},
    {"hgrn2", "1.3b", "d=2048 vocab=32000 tied=off 24*(hgrn2(heads=16) + swiglu(hidden=5632))", "Qin et al. 2024 (2404.07904)"},
    {"rwkv4", "tiny", "d=64 vocab=256 norm=layer embed_norm=on tied=off 2*(rwkv4 + rwkv_channel_mix(version=4))", "Peng et al. 2023 (2305.13048)"},
    {"rwkv4", "small", "d=384 vocab=8192 norm=layer embed_norm=on 9*(rwkv4 + rwkv_channel_mix(version=4))", "Peng et al. 2023 (2305.13048)"},
    {"rwkv4", "169m", "d=768 vocab=50277 norm=layer embed_norm=on tied=off 12*(rwkv4 + rwkv_channel_mix(version=4))",
     "Peng et al. 2023 (2305.13048)"},
    {"rwkv5", "tiny", "d=64 vocab=256 norm=layer embed_norm=on tied=off 2*(rwkv5(heads=2) + rwkv_channel_mix(version=5))",
     "Peng et al. 2024 (2404.05892)"},
    {"rwkv5", "small", "d=384 vocab=8192 norm=layer embed_norm=on 8*(rwkv5 + rwkv_channel_mix(version=5))", "Peng et al. 2024 (2404.05892)"},
    {"rwkv5", "1.5b", "d=2048 vocab=65536 norm=layer embed_norm=on tied=off 24*(rwkv5 + rwkv_channel_mix(version=5))",
     "Peng et al. 2024 (2404.05892)"},
    {"rwkv6", "tiny", "d=64 vocab=256 norm=layer embed_norm=on tied=off 2*(rwkv6(heads=2) + rwkv_channel_mix(version=6))",
     "Peng et al. 2024 (2404.05892)"},
    {"rwkv6", "small", "d=384 vocab=8192 norm=layer embed_norm=on 8*(rwkv6 + rwkv_channel_mix(version=6))", "Peng et al. 2024 (2404.05892)"},
    {"rwkv6", "1.6b", "d=2048 vocab=65536 norm=layer embed_norm=on tied=off 24*(rwkv6 + rwkv_channel_mix(version=6))",
     "Peng et al. 2024 (2404.05892)"},
    {"rwkv7", "tiny", "d=64 vocab=256 norm=layer embed_norm=on tied=off 2*(rwkv7(heads=2) + rwkv_channel_mix)", "Peng et al. 2025 (2503.14456)"},
    {"rwkv7", "small", "d=384 vocab=8192 norm=layer embed_norm=on 9*(rwkv7 + rwkv_channel_mix)", "Peng et al. 2025 (2503.14456)"},
    {"rwkv7", "1.5b", "d=2048 vocab=65536 norm=layer embed_norm=on tied=off 24*(rwkv7(decay_rank=96, rate_rank=96, value_rank=64, gate_rank=256)"
     " + rwkv_channel_mix)", "Peng et al. 2025 (2503.14456)"},
    {"mamba", "tiny", "d=64 vocab=256 3*(mamba)", "Gu and Dao 2023 (2312.00752)"},
    {"mamba", "small", "d=384 vocab=8192 16*(mamba)", "Gu and Dao 2023 (2312.00752)"},
    {"mamba", "130m", "d=768 vocab=50280 24*(mamba)", "Gu and Dao 2023 (2312.00752)"},
    {"mamba", "2.8b", "d=2560 vocab=50280 64*(mamba)", "Gu and Dao 2023 (2312.00752)"},
    {"mamba2", "tiny", "d=64 vocab=256 3*(mamba2(heads=4, state=16))", "Dao and Gu 2024 (2405.21060)"},
    {"mamba2", "small", "d=384 vocab=8192 16*(mamba2)", "Dao and Gu 2024 (2405.21060)"},
    {"mamba2", "130m", "d=768 vocab=50288 24*(mamba2)", "Dao and Gu 2024 (2405.21060)"},
    {"mamba2", "2.7b", "d=2560 vocab=50288 64*(mamba2)", "Dao and Gu 2024 (2405.21060)"},
    {"s4", "tiny", "d=64 vocab=256 norm=layer 2*(s4(state=8, length=128) + mlp)", "Gu, Goel, Re 2021 (2111.00396)"},
    {"s4", "small", "d=384 vocab=8192 norm=layer 11*(s4 + mlp)", "Gu, Goel, Re 2021 (2111.00396)"},
    {"s4", "wikitext103", "d=1024 vocab=267735 norm=layer 16*(s4(length=8192) + mlp)",
     "Gu, Goel, Re 2021 (2111.00396), without its adaptive embedding"},
    {"s5", "tiny", "d=64 vocab=256 norm=layer 2*(s5)", "Smith et al. 2022 (2208.04933)"},
    {"s5", "small", "d=384 vocab=8192 norm=layer 22*(s5(state=768, blocks=12))", "Smith et al. 2022 (2208.04933)"},
    {"s5", "pathx", "d=128 vocab=256 norm=layer 6*(s5(state=256, blocks=16))",
     "Smith et al. 2022 (2208.04933), without its second direction and batch norm"},
    {"h3", "tiny", "d=64 vocab=256 norm=layer h3(state=8) + mlp, attn(heads=4, rope=0) + mlp", "Fu et al. 2022 (2212.14052)"},
    {"h3", "small", "d=384 vocab=8192 norm=layer 5*(h3 + mlp), attn(heads=6, rope=0) + mlp, 3*(h3 + mlp)", "Fu et al. 2022 (2212.14052)"},
    {"h3", "125m", "d=768 vocab=50264 norm=layer 6*(h3 + mlp), attn(heads=12, rope=0, bias=on) + mlp, 5*(h3 + mlp)",
     "Fu et al. 2022 (2212.14052)"},
    {"hyena", "tiny", "d=64 vocab=256 norm=layer 2*(hyena(length=128, filter=16) + mlp(hidden=128))", "Poli et al. 2023 (2302.10866)"},
    {"hyena", "small", "d=384 vocab=8192 norm=layer 9*(hyena + mlp)", "Poli et al. 2023 (2302.10866)"},
    {"hyena", "153m", "d=864 vocab=50264 norm=layer 18*(hyena(length=2048, frequency=14) + mlp(hidden=1728))", "Poli et al. 2023 (2302.10866)"},
    {"lfm2", "tiny", "d=64 vocab=256 2*(lfm2_conv + swiglu), attn(heads=4, kv=2, qk_norm=on) + swiglu", "Liquid AI 2025 (2511.23404)"},
    {"lfm2", "small", "d=384 vocab=8192 3*(2*(lfm2_conv + swiglu), attn(heads=6, kv=2, rope=1000000, qk_norm=on) + swiglu), lfm2_conv + swiglu",
     "Liquid AI 2025 (2511.23404)"},
    {"lfm2", "1.2b", "d=2048 vocab=65536 3*(2*(lfm2_conv + swiglu(hidden=8192)),"
     " attn(heads=32, kv=8, rope=1000000, qk_norm=on) + swiglu(hidden=8192)), 3*(lfm2_conv + swiglu(hidden=8192),"
     " attn(heads=32, kv=8, rope=1000000, qk_norm=on) + swiglu(hidden=8192)), lfm2_conv + swiglu(hidden=8192)", "Liquid AI 2025 (2511.23404)"},
    {"xlstm-1:0", "tiny", "d=64 vocab=256 norm=layer 2*(mlstm)", "Beck et al. 2024 (2405.04517)"},
    {"xlstm-1:0", "small", "d=384 vocab=8192 norm=layer 18*(mlstm)", "Beck et al. 2024 (2405.04517)"},
    {"xlstm-1:0", "1.3b", "d=2048 vocab=50304 norm=layer tied=off 48*(mlstm)", "Beck et al. 2024 (2405.04517)"},
    {"xlstm-7:1", "tiny", "d=64 vocab=256 norm=layer 3*(mlstm), slstm(heads=4) + geglu(hidden=128, act=erf), 4*(mlstm)",
     "Beck et al. 2024 (2405.04517)"},
    {"xlstm-7:1", "small", "d=384 vocab=8192 norm=layer 2*(3*(mlstm), slstm(heads=4) + geglu(hidden=512, act=erf), 4*(mlstm))",
     "Beck et al. 2024 (2405.04517)"},
    {"xlstm-7:1", "1.3b", "d=2048 vocab=50304 norm=layer tied=off 3*(mlstm), 2*(slstm(heads=4) + geglu(hidden=2688, act=erf), mlstm),"
     " slstm(heads=4) + geglu(hidden=2688, act=erf), 32*(mlstm), 2*(slstm(heads=4) + geglu(hidden=2688, act=erf), mlstm),"
     " slstm(heads=4) + geglu(hidden=2688, act=erf), 3*(mlstm)", "Beck et al. 2024 (2405.04517)"},
    {"xlstm-large", "tiny", "d=64 vocab=256 eps=1e-06 cap=30 2*(mlstm_large(heads=2) + swiglu)", "Beck et al. 2025 (2503.13427)"},
    {"xlstm-large", "small", "d=384 vocab=8192 eps=1e-06 cap=30 10*(mlstm_large(heads=3) + swiglu)", "Beck et al. 2025 (2503.13427)"},
    {"xlstm-large", "7b", "d=4096 vocab=50304 eps=1e-06 cap=30 tied=off 32*(mlstm_large(heads=8) + swiglu(hidden=10944))",
     "Beck et al. 2025 (2503.13427)"},
    {"minimax-01", "tiny", "d=64 vocab=256 carry=1.6818 3*(lightning(heads=2) + moe(experts=4, hidden=48)), attn(heads=4, kv=2, rotary=8) +"
     " moe(experts=4, hidden=48)", "MiniMax 2025 (2501.08313)"},
    {"minimax-01", "small", "d=256 vocab=8192 carry=2 7*(lightning(heads=4) + moe(hidden=288)), attn(heads=4, kv=2, rotary=32) + moe(hidden=288)",
     "MiniMax 2025 (2501.08313)"},
    {"minimax-01", "456b", "d=6144 vocab=200064 carry=3.5565588 tied=off 10*(7*(lightning(heads=64, dim=128) + moe(experts=32, hidden=9216)),"
     " attn(heads=64, kv=8, dim=128, rope=10000000, rotary=64) + moe(experts=32, hidden=9216))", "MiniMax 2025 (2501.08313)"},
    {"transnormerllm", "tiny", "d=64 vocab=256 norm=simple_rms eps=1e-06 scale=8 2*(transnormer(heads=2) + glu)", "Qin et al. 2023 (2307.14995)"},
    {"transnormerllm", "small", "d=384 vocab=8192 norm=simple_rms eps=1e-06 scale=19.5959 9*(transnormer(heads=3) + glu)",
     "Qin et al. 2023 (2307.14995)"},
    {"transnormerllm", "385m", "d=1024 vocab=64000 norm=simple_rms eps=1e-06 scale=32 24*(transnormer(heads=8) + glu(hidden=2816))",
     "Qin et al. 2023 (2307.14995)"},
    {"transnormerllm", "7b", "d=4096 vocab=64000 norm=simple_rms eps=1e-06 scale=64 30*(transnormer(heads=32) + glu(hidden=11008))",
     "Qin et al. 2023 (2307.14995)"},
    {"gated_deltanet", "tiny", "d=64 vocab=256 2*(gated_delta_net(heads=2) + swiglu)", "Yang et al. 2024 (2412.06464)"},
    {"gated_deltanet", "small", "d=384 vocab=8192 9*(gated_delta_net(heads=3) + swiglu)", "Yang et al. 2024 (2412.06464)"},
    {"gated_deltanet", "1.3b", "d=2048 vocab=32000 tied=off 21*(gated_delta_net + swiglu(hidden=5632))", "Yang et al. 2024 (2412.06464)"},
    {"hawk", "tiny", "d=64 vocab=256 3*(rg_lru(heads=2) + geglu)", "De et al. 2024 (2402.19427)"},
    {"hawk", "small", "d=384 vocab=8192 9*(rg_lru(heads=6) + geglu)", "De et al. 2024 (2402.19427)"},
    {"griffin", "tiny", "d=64 vocab=256 2*(rg_lru(heads=2) + geglu), attn(heads=2, kv=1, window=64, rotary=16) + geglu",
     "De et al. 2024 (2402.19427)"},
    {"griffin", "small", "d=384 vocab=8192 3*(2*(rg_lru(heads=6) + geglu), attn(heads=6, kv=1, window=1024, rotary=32) + geglu)",
     "De et al. 2024 (2402.19427)"},
    {"griffin", "2b", "d=2560 vocab=256000 eps=1e-06 offset=1 scale=50.5 cap=30 8*(2*(rg_lru(heads=10) + geglu(bias=on)), attn(heads=10, kv=1,"
     " window=2048, rotary=128, out_bias=on) + geglu(bias=on)), 2*(rg_lru(heads=10) + geglu(bias=on))",
     "RecurrentGemma, Botev et al. 2024 (2404.07839)"},
    {"mambaformer", "tiny", "d=64 vocab=256 mamba, 2*(attn(heads=4, rope=0) + mamba)", "Park et al. 2024 (2402.04248)"},
    {"mambaformer", "small", "d=384 vocab=8192 mamba, 10*(attn(heads=6, rope=0) + mamba)", "Park et al. 2024 (2402.04248)"},
    {"mambaformer", "paper-small", "d=128 vocab=8192 mamba, 4*(attn(heads=8, rope=0) + mamba)", "Park et al. 2024 (2402.04248)"},
    {"samba", "tiny", "d=64 vocab=256 mamba + swiglu, attn(heads=4, window=64) + swiglu", "Ren et al. 2024 (2406.07522)"},
    {"samba", "small", "d=384 vocab=8192 4*(mamba + swiglu, attn(heads=6, window=2048) + swiglu)", "Ren et al. 2024 (2406.07522)"},
    {"samba", "421m", "d=1536 vocab=32000 tied=off 6*(mamba + swiglu(hidden=4096), attn(heads=12, window=2048) + swiglu(hidden=4096))",
     "Ren et al. 2024 (2406.07522)"},
    {"samba", "1.3b", "d=2304 vocab=32000 tied=off 9*(mamba + swiglu(hidden=6144), attn(heads=18, window=2048) + swiglu(hidden=6144))",
     "Ren et al. 2024 (2406.07522)"},
    {"jamba", "tiny", "d=64 vocab=256 mamba + moe(experts=4, hidden=64, normalise=off), attn(heads=4, kv=2, rope=0) + swiglu",
     "Lieber et al. 2024 (2403.19887)"},
    {"jamba", "small", "d=256 vocab=8192 2*(mamba + swiglu, mamba + moe(experts=8, hidden=448, normalise=off)), attn(heads=8, kv=2, rope=0) + swiglu,"
     " mamba + moe(experts=8, hidden=448, normalise=off), mamba + swiglu, mamba + moe(experts=8, hidden=448, normalise=off)",
     "Lieber et al. 2024 (2403.19887)"},
    {"jamba", "52b", "d=4096 vocab=65536 eps=1e-06 tied=off 4*(2*(mamba(norm_eps=1e-06) + swiglu(hidden=14336), mamba(norm_eps=1e-06) +"
     " moe(experts=16, hidden=14336, normalise=off)), attn(heads=32, kv=8, rope=0) + swiglu(hidden=14336), mamba(norm_eps=1e-06) +"
     " moe(experts=16, hidden=14336, normalise=off), mamba(norm_eps=1e-06) + swiglu(hidden=14336), mamba(norm_eps=1e-06) +"
     " moe(experts=16, hidden=14336, normalise=off))", "Lieber et al. 2024 (2403.19887), its norms on the step, B and C without weights"},
    {"hymba", "tiny", "d=64 vocab=256 meta=8 hymba(heads=4, kv=2, window=0) + swiglu, hymba(heads=4, kv=2, window=17) + swiglu",
     "Dong et al. 2024 (2411.13676), without shared keys"},
    {"hymba", "small", "d=384 vocab=8192 meta=128 hymba(heads=12, kv=4, window=0) + swiglu, 5*(hymba(heads=12, kv=4) + swiglu)",
     "Dong et al. 2024 (2411.13676), without shared keys"},
    {"hymba", "1.5b", "d=1600 vocab=32001 meta=128 hymba(heads=25, window=0) + swiglu(hidden=5504), 14*(hymba(heads=25) + swiglu(hidden=5504)),"
     " hymba(heads=25, window=0) + swiglu(hidden=5504), 15*(hymba(heads=25) + swiglu(hidden=5504)), hymba(heads=25, window=0) + swiglu(hidden=5504)",
     "Dong et al. 2024 (2411.13676), without shared keys, values as wide as keys"},
    {"titans-mac", "tiny", "d=64 vocab=256 2*(titans_mac(heads=2, segment=16, memory_heads=2) + swiglu)", "Behrouz et al. 2025 (2501.00663)"},
    {"titans-mac", "small", "d=384 vocab=8192 7*(titans_mac + swiglu)", "Behrouz et al. 2025 (2501.00663)"},
    {"titans-mac", "760m", "d=1536 vocab=32000 24*(titans_mac(heads=16) + swiglu(hidden=2816))",
     "Behrouz et al. 2025 (2501.00663), of its size; its widths are not in the paper"},
    {"titans-mag", "tiny", "d=64 vocab=256 2*(titans_mag(heads=2, window=32, memory_heads=2) + swiglu)", "Behrouz et al. 2025 (2501.00663)"},
    {"titans-mag", "small", "d=384 vocab=8192 7*(titans_mag + swiglu)", "Behrouz et al. 2025 (2501.00663)"},
    {"titans-mag", "760m", "d=1536 vocab=32000 24*(titans_mag(heads=16) + swiglu(hidden=2816))",
     "Behrouz et al. 2025 (2501.00663), of its size; its widths are not in the paper"},
    {"titans-mal", "tiny", "d=64 vocab=256 2*(titans_mal(heads=2, window=32, memory_heads=2) + swiglu)", "Behrouz et al. 2025 (2501.00663)"},
    {"titans-mal", "small", "d=384 vocab=8192 7*(titans_mal + swiglu)", "Behrouz et al. 2025 (2501.00663)"},
    {"titans-mal", "760m", "d=1536 vocab=32000 24*(titans_mal(heads=16) + swiglu(hidden=2816))",
     "Behrouz et al. 2025 (2501.00663), of its size; its widths are not in the paper"},
    {"bmojo", "tiny", "d=64 vocab=256 2*(bmojo(heads=4, kv=2, window=8, count=4) + swiglu)", "Zancato et al. 2024 (2407.06324)"},
    {"bmojo", "small", "d=384 vocab=8192 6*(bmojo(heads=6) + swiglu)", "Zancato et al. 2024 (2407.06324)"},
    {"bmojo", "1.4b", "d=2048 vocab=50280 24*(bmojo(heads=32))",
     "Zancato et al. 2024 (2407.06324), of its size; its widths are not in the paper"},
    {"bmojo-f", "tiny", "d=64 vocab=256 2*(bmojo_f(heads=4, kv=2, window=16) + swiglu)", "Zancato et al. 2024 (2407.06324)"},
    {"bmojo-f", "small", "d=384 vocab=8192 6*(bmojo_f(heads=6) + swiglu)", "Zancato et al. 2024 (2407.06324)"},
    {"bmojo-f", "1.4b", "d=2048 vocab=50280 26*(bmojo_f(heads=32))",
     "Zancato et al. 2024 (2407.06324), of its size; its widths are not in the paper"},
};

}  // namespace

std::span<const NamedBlueprint> named_blueprints() { return table; }
const NamedBlueprint* find_blueprint(std::string_view name) {
  for (const NamedBlueprint& b : table)
    if (name == std::string(b.name) + "-" + b.size) return &b;
  return nullptr;
}

}  // namespace headrace
