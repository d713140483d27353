#!/usr/bin/env python3
"""Random-weight models of known shapes, for speed only.

    python bench/make_gguf.py FOLDER [NAME ...]         (no names: all; --list names them)

NAME is SHAPE-TYPE with a type of f16 f32 q4_0 q8_0 for a .gguf that llama.cpp opens too, without a tokenizer. It cannot open
recurrentgemma300m-TYPE (general.architecture is headrace, config.json is in the metadata); without a type that is a Hugging Face
folder in bf16. All matrices have the one type, embedding
and head included; norms, convolutions, decays and low-rank matrices stay f32, as in real files. A matrix whose rows are no
multiple of 32 is f16. Weights are normal with variance 1/in, so that activations and decays are like a trained model's.
Needs the gguf package.
"""
import json, os, struct, sys
import numpy as np
import gguf
from gguf import GGMLQuantizationType as Q

TYPES = {"f32": (Q.F32, 0), "f16": (Q.F16, 1), "q4_0": (Q.Q4_0, 2), "q8_0": (Q.Q8_0, 7)}
rng = np.random.default_rng(1)

def normal(*shape):
    """[.., out, in] with variance 1/in."""
    return rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))

class Writer:
    def __init__(self, path, arch, name, kind, vocab):
        self.w, (self.kind, file_type) = gguf.GGUFWriter(path, arch), TYPES[kind]
        self.w.add_name(name); self.w.add_file_type(file_type); self.w.add_quantization_version(2)
        self.w.add_tokenizer_model("no_vocab"); self.w.add_vocab_size(vocab)
    def matrix(self, name, out, width):
        kind = self.kind if width % 32 == 0 or self.kind == Q.F32 else Q.F16
        self.w.add_tensor(name + ".weight", gguf.quants.quantize(normal(out, width), kind), raw_dtype=kind)
    def f32(self, name, x): self.w.add_tensor(name, np.ascontiguousarray(x, dtype=np.float32))
    def norm(self, name, width, bias=False):
        self.f32(name + ".weight", np.ones(width))
        if bias: self.f32(name + ".bias", np.zeros(width))
    def close(self):
        self.w.write_header_to_file(); self.w.write_kv_data_to_file(); self.w.write_tensors_to_file(); self.w.close()

def llama(f, D, ffn, L, heads, kv, vocab, base=100000.0):
    w, size = f.w, D // heads
    w.add_context_length(8192); w.add_embedding_length(D); w.add_feed_forward_length(ffn); w.add_block_count(L)
    w.add_head_count(heads); w.add_head_count_kv(kv); w.add_layer_norm_rms_eps(1e-5); w.add_rope_dimension_count(size); w.add_rope_freq_base(base)
    f.matrix("token_embd", vocab, D); f.norm("output_norm", D)
    for l in range(L):
        b = f"blk.{l}."
        f.norm(b + "attn_norm", D); f.norm(b + "ffn_norm", D)
        for name, out, width in (("attn_q", D, D), ("attn_k", kv * size, D), ("attn_v", kv * size, D), ("attn_output", D, D),
                                 ("ffn_gate", ffn, D), ("ffn_up", ffn, D), ("ffn_down", D, ffn)): f.matrix(b + name, out, width)

def steps(n):
    """Biases before softplus, for time steps from 0.001 to 0.1 as Mamba draws them."""
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(0.1), n)); return dt + np.log(-np.expm1(-dt))

def mamba(f, D, L, state, vocab, heads=0):
    w, inner = f.w, 2 * D; rank = heads or D // 16
    w.add_context_length(1 << 20); w.add_embedding_length(D); w.add_feed_forward_length(0); w.add_head_count(0); w.add_block_count(L)
    w.add_ssm_conv_kernel(4); w.add_ssm_inner_size(inner); w.add_ssm_state_size(state); w.add_ssm_time_step_rank(rank); w.add_layer_norm_rms_eps(1e-5)
    if heads: w.add_ssm_group_count(1)
    f.matrix("token_embd", vocab, D); f.norm("output_norm", D)
    for l in range(L):
        b = f"blk.{l}."; channels = inner + (2 * state if heads else 0)
        f.norm(b + "attn_norm", D)
        f.f32(b + "ssm_conv1d.weight", normal(channels, 4)); f.f32(b + "ssm_conv1d.bias", np.zeros(channels)); f.matrix(b + "ssm_out", D, inner)
        if heads:
            f.matrix(b + "ssm_in", inner + channels + heads, D)
            f.f32(b + "ssm_a", -rng.uniform(1, 16, (heads, 1))); f.f32(b + "ssm_d", np.ones((heads, 1)))
            f.f32(b + "ssm_dt.bias", steps(heads)); f.f32(b + "ssm_norm.weight", np.ones((1, inner)))
        else:
            f.matrix(b + "ssm_in", 2 * inner, D); f.matrix(b + "ssm_x", rank + 2 * state, inner); f.matrix(b + "ssm_dt", inner, rank)
            f.f32(b + "ssm_a", -np.tile(np.arange(1, state + 1), (inner, 1))); f.f32(b + "ssm_d", np.ones(inner))
            f.f32(b + "ssm_dt.bias", steps(inner))

def rwkv(f, version, D, ffn, L, vocab, size=64):
    w = f.w
    w.add_context_length(1 << 20); w.add_embedding_length(D); w.add_block_count(L); w.add_feed_forward_length(ffn); w.add_head_count(0)
    w.add_layer_norm_eps(1e-5); w.add_wkv_head_size(size); w.add_token_shift_count(2)
    if version == 6: w.add_time_mix_extra_dim(32); w.add_time_decay_extra_dim(64); w.add_rescale_every_n_layers(6)
    else: w.add_decay_lora_rank(64); w.add_iclr_lora_rank(64); w.add_value_residual_mix_lora_rank(32); w.add_gate_lora_rank(128)
    f.matrix("token_embd", vocab, D); f.matrix("output", vocab, D); f.norm("output_norm", D, True); f.norm("token_embd_norm", D, True)
    small = lambda *shape: 0.1 * normal(*shape)
    for l in range(L):
        b = f"blk.{l}."; t = b + "time_mix_"
        f.norm(b + "attn_norm", D, True); f.norm(b + "attn_norm_2", D, True); f.norm(t + "ln", D, True)
        for name in ("key", "value", "receptance", "output") + (("gate",) if version == 6 else ()): f.matrix(t + name, D, D)
        f.matrix(b + "channel_mix_key", ffn, D); f.matrix(b + "channel_mix_value", D, ffn)
        f.f32(b + "channel_mix_lerp_k.weight", rng.uniform(0, 1, D)); decay = np.linspace(-6, -1, D)
        if version == 6:
            f.matrix(b + "channel_mix_receptance", D, D); f.f32(b + "channel_mix_lerp_r.weight", rng.uniform(0, 1, D))
            f.f32(t + "lerp_x.weight", rng.uniform(0, 1, D)); f.f32(t + "lerp_fused.weight", rng.uniform(0, 1, (5, 1, 1, D)))
            f.f32(t + "w1.weight", small(160, D)); f.f32(t + "w2.weight", small(5, D, 32)); f.f32(t + "decay.weight", decay)
            f.f32(t + "decay_w1.weight", small(64, D)); f.f32(t + "decay_w2.weight", small(D, 64)); f.f32(t + "first.weight", normal(D // size, size))
        else:
            f.f32(t + "lerp_fused.weight", rng.uniform(0, 1, (6, 1, 1, D))); f.f32(t + "w0.weight", decay)
            for x, rank in (("w", 64), ("a", 64), ("v", 64 if l == 0 else 32), ("g", 128)):   # v of layer 0 is a placeholder with a's rank
                f.f32(t + x + "1.weight", small(rank, D)); f.f32(t + x + "2.weight", small(D, rank))
            for x in ("a0", "v0", "r_k"): f.f32(t + x + ".weight", small(D))
            f.f32(t + "k_k.weight", np.ones(D)); f.f32(t + "k_a.weight", np.ones(D))

def recurrent_gemma(D=1024, ffn=3072, L=18, heads=8, size=128, vocab=65536):
    """-> (configuration, tensors by Hugging Face's names)"""
    tensors = {}
    def linear(name, out, width, bias=True):
        tensors[name + ".weight"] = normal(out, width)
        if bias: tensors[name + ".bias"] = np.zeros(out)
    tensors["model.embed_tokens.weight"] = normal(vocab, D); tensors["model.final_norm.weight"] = np.zeros(D)
    kinds = ["recurrent", "recurrent", "attention"]
    for l in range(L):
        b = f"model.layers.{l}."; t = b + "temporal_block."
        tensors[b + "temporal_pre_norm.weight"] = tensors[b + "channel_pre_norm.weight"] = np.zeros(D)
        linear(b + "mlp_block.gate_proj", ffn, D); linear(b + "mlp_block.up_proj", ffn, D); linear(b + "mlp_block.down_proj", D, ffn)
        if kinds[l % 3] == "attention":
            for name, out in (("q_proj", heads * size), ("k_proj", size), ("v_proj", size)): linear(t + name, out, D, False)
            linear(t + "o_proj", D, heads * size)
            continue
        for name in ("linear_x", "linear_y", "linear_out"): linear(t + name, D, D)
        tensors[t + "conv_1d.weight"] = normal(D, 1, 4); tensors[t + "conv_1d.bias"] = np.zeros(D)
        for gate in ("input_gate", "recurrent_gate"):
            tensors[t + f"rg_lru.{gate}_weight"] = normal(heads, D // heads, D // heads)
            tensors[t + f"rg_lru.{gate}_bias"] = np.zeros((heads, D // heads))
        tensors[t + "rg_lru.recurrent_param"] = np.log(np.expm1(-0.5 * np.log(rng.uniform(0.9, 0.999, D)) / 4))   # a^8 in 0.9 .. 0.999, squared
    config = dict(architectures=["RecurrentGemmaForCausalLM"], model_type="recurrent_gemma", attention_bias=False, attention_window_size=2048,
                  block_types=kinds, bos_token_id=2, eos_token_id=1, pad_token_id=0, conv1d_width=4, head_dim=size,
                  hidden_activation="gelu_pytorch_tanh", hidden_size=D, intermediate_size=2 * ffn, logits_soft_cap=30.0, lru_width=D,
                  num_attention_heads=heads, num_hidden_layers=L, num_key_value_heads=1, rms_norm_eps=1e-6, tie_word_embeddings=True,
                  vocab_size=vocab,
                  rope_parameters=dict(partial_rotary_factor=0.5, rope_theta=10000.0, rope_type="default"))
    return config, tensors

def own_gguf(path, name, kind, config, tensors):
    w, (kind, file_type) = gguf.GGUFWriter(path, "headrace"), TYPES[kind]
    w.add_name(name); w.add_file_type(file_type); w.add_string("headrace.config", json.dumps(config))
    for to, x in tensors.items():
        of = kind if x.ndim == 2 and to.endswith(".weight") else Q.F32
        x = np.ascontiguousarray(x, dtype=np.float32); w.add_tensor(to, gguf.quants.quantize(x, of), raw_dtype=of)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()

def write_bf16(path, tensors):
    header, at, parts = {}, 0, []
    for name, x in tensors.items():
        bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
        parts.append(((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes())
        header[name] = dict(dtype="BF16", shape=list(x.shape), data_offsets=[at, at + len(parts[-1])]); at += len(parts[-1])
    text = json.dumps(header).encode(); text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for p in parts: f.write(p)

SHAPES = {
    "llama135m": ("llama", lambda f: llama(f, 576, 1536, 30, 9, 3, 49152), 49152),                 # SmolLM2-135M
    "llama300m": ("llama", lambda f: llama(f, 1024, 3072, 19, 16, 4, 65536), 65536),               # the size of recurrentgemma300m
    "mamba130m": ("mamba", lambda f: mamba(f, 768, 24, 16, 50288), 50288),                         # state-spaces/mamba-130m
    "mamba2-130m": ("mamba2", lambda f: mamba(f, 768, 24, 128, 50288, heads=24), 50288),           # state-spaces/mamba2-130m
    "rwkv6-170m": ("rwkv6", lambda f: rwkv(f, 6, 768, 1280, 12, 65536), 65536),
    "rwkv7-191m": ("rwkv7", lambda f: rwkv(f, 7, 768, 3072, 12, 65536), 65536),                    # RWKV-7 World 0.1B
}
ALL = ["llama135m-q8_0", "llama135m-q4_0", "mamba130m-q8_0", "mamba130m-q4_0", "mamba2-130m-q8_0", "mamba2-130m-q4_0", "rwkv6-170m-q8_0",
       "rwkv7-191m-q8_0", "llama300m-q8_0", "recurrentgemma300m-q8_0", "recurrentgemma300m"]

def make(folder, name):
    global rng
    rng = np.random.default_rng(1)               # the same file whatever was made before
    path = os.path.join(folder, name + ".gguf"); shape, _, kind = name.rpartition("-")
    if name == "recurrentgemma300m":
        folder = os.path.join(folder, name); os.makedirs(folder, exist_ok=True); path = folder + "/model.safetensors"
        config, tensors = recurrent_gemma(); write_bf16(path, tensors)
        with open(folder + "/config.json", "w") as f: json.dump(config, f, indent=1)
    else:
        if shape == "recurrentgemma300m": own_gguf(path + ".part", name, kind, *recurrent_gemma())
        else: arch, build, vocab = SHAPES[shape]; f = Writer(path + ".part", arch, name, kind, vocab); build(f); f.close()
        os.replace(path + ".part", path)
    print(f"{path}: {os.path.getsize(path) / 1e6:.1f} MB", flush=True)

if __name__ == "__main__":
    if len(sys.argv) < 2: sys.exit(__doc__)
    if sys.argv[1] == "--list": print("\n".join(ALL)); sys.exit()
    os.makedirs(sys.argv[1], exist_ok=True)
    for n in sys.argv[2:] or ALL:
        shape, _, kind = n.rpartition("-")
        if n != "recurrentgemma300m" and (shape not in [*SHAPES, "recurrentgemma300m"] or kind not in TYPES):
            sys.exit(f"{n}: unknown; shapes: {', '.join(SHAPES)}; types: {', '.join(TYPES)}; or recurrentgemma300m")
        make(sys.argv[1], n)
