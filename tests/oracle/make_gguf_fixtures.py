#!/usr/bin/env python3
"""Tiny GGUF files as llama.cpp's converter lays them out, with expected logits, and one file of quantised blocks.

    OMP_NUM_THREADS=1 python tests/oracle/make_gguf_fixtures.py [NAME ...]      (no names: all)

tests/fixtures/gguf/NAME.gguf and NAME.expected.safetensors (input_ids [1,37], logits [1,37,64]). The F32 files hold the
models of tests/fixtures/models, or models drawn here where llama.cpp can not say what those models do. In the quantised
files the logits are those of the dequantised weights in float32. blocks.safetensors: for each block type TYPE the bytes
TYPE.blocks and the values TYPE.values that gguf's own dequantisation gives. Needs gguf 0.19, transformers 5.23, torch;
with accelerate installed, transformers reads the files back and the difference is printed.
"""
import importlib.util, json, os, re, sys
from importlib.metadata import version
import numpy as np
import torch, transformers, gguf
from gguf import GGMLQuantizationType as Q
from safetensors.torch import load_file, save_file
from make_model_fixtures import FULL, MODELS, OUT as FOLDERS, SEED, SLIDE, decoder, logits, note, redraw, rope
import make_rwkv_fixtures as rwkv

OUT = os.path.join(FOLDERS, "..", "gguf")
T = 37

OWN = {  # drawn here
 "gemma2": ("Gemma2Config", decoder(head_dim=8, query_pre_attn_scalar=8, sliding_window=12, attn_logit_softcapping=15.0, final_logit_softcapping=10.0)),
 "gemma3": ("Gemma3TextConfig", decoder(hidden_size=16, intermediate_size=24, num_hidden_layers=6, num_attention_heads=2, num_key_value_heads=1, head_dim=8, query_pre_attn_scalar=8, sliding_window=12,
            layer_types=[SLIDE] * 5 + [FULL], rope_parameters={FULL: rope(500000.0, "linear", factor=2.0), SLIDE: rope()})),
 "llama_q8_0": ("LlamaConfig", decoder(hidden_size=64, intermediate_size=96)),
 "llama_q4_k": ("LlamaConfig", decoder(hidden_size=256, intermediate_size=32, num_attention_heads=2, num_key_value_heads=1, head_dim=16, tie_word_embeddings=True)),
}
FILES = {  # file: (architecture, model folder or name in OWN)
 "llama": ("llama", "llama"), "llama_rope3_bf16": ("llama", "llama_rope3"), "llama_q8_0": ("llama", "llama_q8_0"), "llama_q4_k": ("llama", "llama_q4_k"),
 "qwen2": ("qwen2", "qwen2"), "qwen3": ("qwen3", "qwen3"), "gemma2": ("gemma2", "gemma2"), "gemma3": ("gemma3", "gemma3"), "gpt2": ("gpt2", "gpt2"),
 "mamba": ("mamba", "mamba"), "falcon_mamba": ("mamba", "falcon_mamba"), "mamba2": ("mamba2", "mamba2"), "rwkv6_bf16": ("rwkv6", "rwkv6"), "rwkv7_f16": ("rwkv7", "rwkv7"),
}

def q4_k(x):
    """[rows, n*256] float32 -> bytes: 8 sub-blocks of 32 with 6-bit scales and mins, w = d sc q - dmin m."""
    b = x.reshape(-1, 8, 32); low = np.minimum(b.min(-1), 0); scale = (b.max(-1) - low) / 15
    d, dmin = (np.maximum(v.max(-1, keepdims=True) / 63, 1e-8).astype(np.float16) for v in (scale, -low))
    sc, m = (np.clip(np.rint(v / u.astype(np.float32)), 0, 63).astype(np.uint8) for v, u in ((scale, d), (-low, dmin)))
    step, base = d.astype(np.float32) * sc, dmin.astype(np.float32) * m
    q = np.clip(np.rint((b + base[..., None]) / np.maximum(step, 1e-12)[..., None]), 0, 15).astype(np.uint8)
    packed = np.concatenate([sc[:, :4] | (sc[:, 4:] >> 4) << 6, m[:, :4] | (m[:, 4:] >> 4) << 6, (sc[:, 4:] & 15) | (m[:, 4:] & 15) << 4], 1)
    q = q.reshape(-1, 4, 2, 32); nibbles = (q[:, :, 0] | q[:, :, 1] << 4).reshape(-1, 128)
    return np.concatenate([d.view(np.uint8), dmin.view(np.uint8), packed, nibbles], 1).reshape(x.shape[0], -1)

def encode(x, kind): return q4_k(x) if kind == Q.Q4_K else gguf.quants.quantize(x, kind)

def kind_of(name, file, shape):
    if len(shape) < 2 or "norm" in name or re.search(r"time_mix_(lerp|first|w\d|a\d|v\d|g\d|decay)", name): return Q.F32
    if file.endswith("_f16"): return Q.F16
    if file.endswith("bf16"): return Q.BF16
    if file.endswith("q8_0"): return Q.Q8_0
    if file.endswith("q4_k"): return Q.Q4_K if shape[-1] % 256 == 0 else Q.Q8_0
    return Q.F32

def permute(w, heads):                          # rotary halves -> neighbouring pairs, as llama.cpp's llama graph rotates
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)

def rename(arch, name):
    """Names the gguf package's tensor map knows."""
    if not arch.startswith("rwkv"): return name.replace("dt_bias", "dt_proj.bias")
    name = re.sub(r"^emb\.", "rwkv.embeddings.", name).replace("ln_out", "rwkv.ln_out").replace("blocks.0.ln0", "blocks.0.pre_ln")
    name = re.sub(r"^blocks", "rwkv.blocks" , name).replace(".att.", ".attention.").replace(".ffn.", ".feed_forward.")
    return re.sub(r"^rwkv\.blocks\.(\d+)\.(attention|feed_forward|ln[12])", r"model.layers.\1.\2", name) if arch == "rwkv7" else name

def tensors(arch, c, state):
    """state (float32, reference names) -> [(GGUF name, array)]"""
    layers = c.get("num_hidden_layers") or c.get("n_layer"); table = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, arch.upper()), layers); fused, out = {}, []
    for name, t in state.items():
        x, leaf = t.float().numpy(), name.rsplit(".", 1)[-1]; to = table.get_name(rename(arch, name), try_suffixes=(".weight", ".bias"))
        layer = int(m.group(1)) if (m := re.search(r"\.(\d+)\.", name)) else 0
        if arch.startswith("rwkv") and re.search(r"att\.(time_maa_[wkvrg]|x_[rwkvag])$", name):
            fused.setdefault(layer, {})[name[-1]] = x.reshape(1, 1, -1); order = "wkvrg" if arch == "rwkv6" else "rwkvag"
            if len(fused[layer]) == len(order): out.append((f"blk.{layer}.time_mix_lerp_fused.weight", np.stack([fused[layer][k] for k in order])))
            continue
        if to is None: raise SystemExit(f"{arch}: {name} has no GGUF name")
        if arch == "llama" and re.search(r"[qk]_proj", name): x = permute(x, c["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
        if arch.startswith("gemma") and name.endswith("norm.weight"): x = x + 1
        if arch == "gpt2" and re.search(r"c_(attn|proj|fc)\.weight", name): x = x.T
        if leaf == "A_log": x = -np.exp(x)
        if "conv1d" in name: x = x.squeeze()
        if arch == "mamba2" and leaf in ("A_log", "D"): x = x[:, None]
        if arch == "mamba2" and name.endswith("mixer.norm.weight"): x = x.reshape(c["n_groups"], -1)
        if arch == "rwkv6":
            if re.search(r"time_maa_w1|time_decay_w[12]", name): x = x.T
            if "time_maa_w2" in name: x = x.transpose(0, 2, 1)
            if re.search(r"time_decay$|time_maa_\w$", name): x = x.squeeze()
            if re.search(r"att\.output|ffn\.value", name): x = x / 2 ** (layer // c["rescale_every"])
        if arch == "rwkv7":
            x = x.squeeze()
            if re.search(r"att\.[wavg][12]$", name): x = x.T
            if leaf == "r_k": x = x.reshape(-1)
        if arch.startswith("rwkv") and not to.endswith((".weight", ".bias")): to += ".weight"
        if arch == "rwkv7" and layer == 0 and "time_mix_a" in to: out.append((to.replace("time_mix_a", "time_mix_v"), x))   # placeholders
        out.append((to, x))
    return out

def head(w, arch, c):
    if arch.startswith("rwkv"):
        w.add_context_length(1 << 20); w.add_embedding_length(rwkv.D); w.add_block_count(rwkv.L); w.add_layer_norm_eps(1e-5); w.add_wkv_head_size(rwkv.N); w.add_feed_forward_length(64); w.add_head_count(0)
        if arch == "rwkv6": w.add_rescale_every_n_layers(c["rescale_every"]); w.add_time_mix_extra_dim(8); w.add_time_decay_extra_dim(8)
        else: w.add_decay_lora_rank(8); w.add_iclr_lora_rank(6); w.add_value_residual_mix_lora_rank(4); w.add_gate_lora_rank(12)
    elif arch.startswith("mamba"):
        inner = 2 * c["hidden_size"]
        w.add_context_length(1 << 20); w.add_embedding_length(c["hidden_size"]); w.add_feed_forward_length(0); w.add_head_count(0); w.add_block_count(c["num_hidden_layers"])
        w.add_ssm_conv_kernel(c["conv_kernel"]); w.add_ssm_inner_size(inner); w.add_ssm_state_size(c["state_size"]); w.add_layer_norm_rms_eps(c["layer_norm_epsilon"])
        if arch == "mamba": w.add_ssm_time_step_rank(c["time_step_rank"]); w.add_ssm_dt_b_c_rms(c["model_type"] == "falcon_mamba")
        else: w.add_ssm_time_step_rank(inner // c["head_dim"]); w.add_ssm_group_count(c["n_groups"])
    elif arch == "gpt2":
        w.add_context_length(c["n_positions"]); w.add_embedding_length(c["n_embd"]); w.add_feed_forward_length(4 * c["n_embd"]); w.add_block_count(c["n_layer"]); w.add_head_count(c["n_head"]); w.add_layer_norm_eps(c["layer_norm_epsilon"])
    else:
        size = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]; r = c["rope_parameters"]; r = r.get(FULL, r)
        w.add_context_length(c["max_position_embeddings"]); w.add_embedding_length(c["hidden_size"]); w.add_feed_forward_length(c["intermediate_size"]); w.add_block_count(c["num_hidden_layers"])
        w.add_head_count(c["num_attention_heads"]); w.add_head_count_kv(c["num_key_value_heads"]); w.add_layer_norm_rms_eps(c["rms_norm_eps"])
        w.add_key_length(size); w.add_value_length(size); w.add_rope_freq_base(r["rope_theta"])
        if arch == "llama": w.add_vocab_size(c["vocab_size"]); w.add_rope_dimension_count(size)
        if r["rope_type"] == "linear": w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR); w.add_rope_scaling_factor(r["factor"])
        if arch.startswith("gemma"): w.add_sliding_window(c["sliding_window"])
        if arch == "gemma2": w.add_attn_logit_softcapping(c["attn_logit_softcapping"]); w.add_final_logit_softcapping(c["final_logit_softcapping"])
    letters = [chr(x) for x in range(33, 127) if chr(x) not in "<>"][:58]
    tokens = ["<unk>", "<s>", "</s>"] + letters + ["\u2581", "\u2581the", "\u2581a"]
    w.add_tokenizer_model("rwkv" if arch.startswith("rwkv") else "llama"); w.add_token_list(tokens)
    w.add_token_types([2, 3, 3] + [1] * 61)
    if not arch.startswith("rwkv"): w.add_token_scores([0.0] * 3 + [-float(i) for i in range(61)])
    w.add_bos_token_id(1); w.add_eos_token_id(2)

def llama3_factors(c):
    """Divisors of the rotary frequencies: rope_freqs.weight [head/2]."""
    r = c["rope_parameters"]; size = c["head_dim"]; freq = r["rope_theta"] ** (-np.arange(0, size, 2) / size); wave = 2 * np.pi / freq
    low, high = r["original_max_position_embeddings"] / r["low_freq_factor"], r["original_max_position_embeddings"] / r["high_freq_factor"]
    smooth = (r["original_max_position_embeddings"] / wave - r["low_freq_factor"]) / (r["high_freq_factor"] - r["low_freq_factor"])
    return np.where(wave < high, 1, np.where(wave > low, r["factor"], 1 / ((1 - smooth) / r["factor"] + smooth))).astype(np.float32)

@torch.no_grad()
def make(file):
    arch, name = FILES[file]; folder = os.path.join(FOLDERS, name); seed = SEED * 1000 + sum(map(ord, file)); model = None
    if arch.startswith("rwkv"): c = dict(num_hidden_layers=rwkv.L, rescale_every=1); state = {k: v.float() for k, v in load_file(folder + "/model.safetensors").items()}
    else:
        if name in OWN:
            cls, kw = OWN[name]; torch.manual_seed(seed); config = getattr(transformers, cls)(**json.loads(json.dumps(kw)))
            model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval(); redraw(model, seed)
        else: model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        c = model.config.to_dict(); state = {k: v for k, v in model.state_dict().items() if not (c["tie_word_embeddings"] and k == "lm_head.weight")}
        for k, v in state.items():              # row-wise blocks, so this commutes with the permutation of rows
            kind = kind_of(k, file, v.shape)
            if kind in (Q.Q8_0, Q.Q4_K): v.copy_(torch.from_numpy(gguf.quants.dequantize(encode(v.numpy(), kind), kind)).view(v.shape))
    path = os.path.join(OUT, file + ".gguf"); w = gguf.GGUFWriter(path, arch); w.add_name(file); head(w, arch, c)
    w.add_file_type({"bf16": 32, "_f16": 1, "q8_0": 7, "q4_k": 14}.get(file[-4:], 0))
    if c.get("rope_parameters", {}).get("rope_type") == "llama3": w.add_tensor("rope_freqs.weight", llama3_factors(c))
    for to, x in tensors(arch, c, state):
        x, kind = np.ascontiguousarray(x, dtype=np.float32), kind_of(to, file, x.shape)
        w.add_tensor(to, x if kind == Q.F32 else encode(x, kind), raw_dtype=None if kind == Q.F32 else kind)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
    ids = torch.randint(3, 64, (1, T), generator=torch.Generator().manual_seed(seed))
    if model is None: out = rwkv.forward(int(arch[4]), {k: v.double() for k, v in state.items()}, ids[0])[None].float()
    else: out = logits(model, ids)
    save_file(dict(input_ids=ids, logits=out), os.path.join(OUT, file + ".expected.safetensors"),
              metadata=note(gguf=version("gguf"), transformers=transformers.__version__))
    second = "-"
    if arch in ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2", "mamba") and file != "falcon_mamba" and importlib.util.find_spec("accelerate"):
        theirs = type(model).from_pretrained(OUT, config=model.config, gguf_file=file + ".gguf", dtype=torch.float32, attn_implementation="eager").eval()
        off = float((logits(theirs, ids) - out).norm() / out.norm()); second = f"{off:.1e}"     # tensors from the file, config from us
    if os.path.getsize(path) >= 100_000: raise SystemExit(f"{path} reaches 100 kB")
    print(f"{file:18s} {os.path.getsize(path):6d} bytes  logits std {float(out.std()):.2f}  read by transformers {second}", flush=True)

def blocks():
    rng, out = np.random.default_rng(SEED), {}
    for kind in (Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.IQ4_NL, Q.IQ4_XS, Q.TQ1_0, Q.TQ2_0, Q.MXFP4):
        size, width = gguf.GGML_QUANT_SIZES[kind]; raw = rng.integers(0, 256, (4, width), dtype=np.uint8); n = 3 * width
        halves = {Q.Q4_1: (0, 2), Q.Q5_1: (0, 2), Q.Q2_K: (80, 82), Q.Q3_K: (108,), Q.Q4_K: (0, 2), Q.Q5_K: (0, 2), Q.Q6_K: (208,), Q.TQ1_0: (52,), Q.TQ2_0: (64,), Q.MXFP4: ()}.get(kind, (0,))
        for at in halves: raw[:, at : at + 2] = rng.normal(0, 0.05, (4, 1)).astype(np.float16).view(np.uint8)
        if kind == Q.MXFP4: raw[:, 0] = rng.integers(118, 130, 4)
        out[kind.name + ".blocks"] = torch.from_numpy(raw); out[kind.name + ".values"] = torch.from_numpy(gguf.quants.dequantize(raw, kind).astype(np.float32))
        assert out[kind.name + ".values"].shape == (4, size)
    save_file(out, os.path.join(OUT, "blocks.safetensors"), metadata=note(gguf=version("gguf")))

if __name__ == "__main__":
    torch.set_num_threads(1); os.makedirs(OUT, exist_ok=True); transformers.logging.set_verbosity_error(); transformers.logging.disable_progress_bar()
    for n in sys.argv[1:] or FILES: make(n)
    blocks()
