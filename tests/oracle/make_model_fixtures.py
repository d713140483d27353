#!/usr/bin/env python3
"""Tiny random models with the logits that their reference implementation computes, for the parity law.

    OMP_NUM_THREADS=1 python tests/oracle/make_model_fixtures.py [NAME ...]      (no names: all; --list)

tests/fixtures/models/NAME/ is a model folder as transformers writes it (config.json, model.safetensors) plus
expected.safetensors: input_ids [1,101], logits [1,101,V] (float32), input_ids_short [1,29] (the first of them) and
generated [1,12], the greedy continuation of input_ids_short by whole forward passes, every argmax by a clear margin.
No file reaches 100 kB. Needs transformers 5.23, torch 2.11, safetensors; nothing is fetched.
"""
import argparse, json, math, os, re, sys
sys.modules["fla"] = None                       # transformers would take its GPU kernels
import torch, transformers
from safetensors.torch import load_file, save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "models")
SEED, V, T, SHORT, NEW = 1, 64, 101, 29, 12
FULL, SLIDE = "full_attention", "sliding_attention"
ids = dict(vocab_size=V, bos_token_id=1, eos_token_id=2, pad_token_id=0)

def decoder(**k):
    return {**ids, **dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                          num_key_value_heads=2, max_position_embeddings=128), **k}

def rope(theta=10000.0, kind="default", **k):
    return dict(rope_type=kind, rope_theta=theta, **k)

def griffin(**k):
    return {**ids, **dict(hidden_size=24, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=1, lru_width=32, attention_window_size=14, bos_token_id=2, eos_token_id=1,
            rope_parameters=rope(partial_rotary_factor=0.5)), **k}

MODELS = {  # name: (config class, arguments, what save() does besides)
 "llama": ("LlamaConfig", decoder(rope_parameters=rope(20000.0)), ()),
 "llama_rope3": ("LlamaConfig", decoder(head_dim=8, rope_parameters=rope(300000.0, "llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=48)), ("bf16",)),
 "llama_yarn": ("LlamaConfig", decoder(head_dim=8, rope_parameters=rope(10000.0, "yarn", factor=4.0, original_max_position_embeddings=32)), ()),
 "llama_linear": ("LlamaConfig", decoder(rope_parameters=rope(10000.0, "linear", factor=2.0)), ("old_spelling",)),
 "llama_bias": ("LlamaConfig", decoder(attention_bias=True, mlp_bias=True), ()),
 "llama_tied_sharded": ("LlamaConfig", decoder(tie_word_embeddings=True), ("shards",)),
 "mistral": ("MistralConfig", decoder(sliding_window=14), ()),
 "qwen2": ("Qwen2Config", decoder(tie_word_embeddings=True), ()),
 "qwen3": ("Qwen3Config", decoder(head_dim=8), ()),
 "phi3": ("Phi3Config", decoder(sliding_window=None), ()),
 "phi3_longrope": ("Phi3Config", decoder(sliding_window=None, max_position_embeddings=512, original_max_position_embeddings=64, rope_parameters=rope(10000.0, "longrope", short_factor=[1.0, 1.1, 1.3], long_factor=[1.2, 3.0, 8.0], original_max_position_embeddings=64)), ()),
 "gemma": ("GemmaConfig", decoder(head_dim=8, num_key_value_heads=1), ()),
 "gemma2": ("Gemma2Config", decoder(head_dim=8, query_pre_attn_scalar=12, sliding_window=12, attn_logit_softcapping=15.0, final_logit_softcapping=10.0), ()),
 "gemma3_text": ("Gemma3TextConfig", decoder(num_hidden_layers=3, head_dim=8, query_pre_attn_scalar=12, sliding_window=12, layer_types=[SLIDE, FULL, SLIDE], rope_parameters={FULL: rope(500000.0, "linear", factor=2.0), SLIDE: rope()}), ()),
 "gpt2": ("GPT2Config", dict(**ids, n_positions=128, n_embd=24, n_layer=2, n_head=4), ()),
 "mamba": ("MambaConfig", dict(**ids, hidden_size=24, state_size=8, num_hidden_layers=2, time_step_rank=3), ()),
 "falcon_mamba": ("FalconMambaConfig", dict(**ids, hidden_size=24, state_size=8, num_hidden_layers=2, time_step_rank=3), ()),
 "mamba2": ("Mamba2Config", dict(**ids, hidden_size=24, state_size=8, num_heads=6, head_dim=8, n_groups=2, num_hidden_layers=2, chunk_size=16), ()),
 "griffin": ("RecurrentGemmaConfig", griffin(hidden_size=32, lru_width=24), ("bf16",)),
 "hawk": ("RecurrentGemmaConfig", griffin(num_hidden_layers=2, block_types=["recurrent"]), ()),
 "rwkv4": ("RwkvConfig", dict(**ids, hidden_size=24, num_hidden_layers=3, intermediate_size=48, context_length=128, rescale_every=2), ()),
}

def redraw(model, seed):
    """A new value for every parameter (norms, biases, decays too), so that nothing hides behind a zero or a one."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda s, sd: torch.randn(s, generator=g) * sd
    uniform = lambda s, a, b: a + (b - a) * torch.rand(s, generator=g)
    inverse_softplus = lambda y: torch.log(torch.expm1(y))
    tied, gemma = model.config.tie_word_embeddings, "emma" in type(model).__name__
    head = model.get_output_embeddings().weight.data_ptr() if not tied else 0
    for name, p in model.named_parameters():
        s, fan = tuple(p.shape), p.shape[0] if "gpt2" in model.config.model_type else p.shape[-1]
        if re.search(r"embed|wte|wpe", name): v = normal(s, 0.15 if gemma else 0.2 if tied else 0.6)
        elif p.data_ptr() == head: v = normal(s, 2.5 * fan ** -0.5)
        elif name.endswith("A_log"): v = uniform(s, math.log(0.03), math.log(2.0))
        elif re.search(r"dt_bias|dt_proj.bias", name): v = inverse_softplus(uniform(s, 0.05, 0.6))
        elif "time_mix" in name: v = uniform(s, 0, 1)
        elif "time_decay" in name: v = uniform(s, -5, 1)
        elif name.endswith("recurrent_param"): v = inverse_softplus(torch.exp(uniform(s, math.log(5e-4), math.log(0.3))))
        elif name.endswith("gate_weight"): v = normal(s, s[-2] ** -0.5)         # [H, in, out]
        elif name.endswith("bias"): v = normal(s, 0.2)
        elif p.ndim == 1: v = p + normal(s, 0.2) + (2.0 if tied and re.search(r"^\w+\.(norm|norm_f|ln_f|final_norm)\.", name) else 0.0)
        else: v = normal(s, fan ** -0.5 * (1.5 if re.search(r"[qk]_proj|c_attn|qkv", name) else 1.0))
        with torch.no_grad(): p.copy_(v)
    model.tie_weights()

def save(model, d, how):
    if "bf16" in how: model = model.to(torch.bfloat16)
    model.save_pretrained(d, **(dict(max_shard_size="28KB") if "shards" in how else {}))
    if os.path.exists(os.path.join(d, "generation_config.json")): os.remove(os.path.join(d, "generation_config.json"))
    if "old_spelling" in how:                   # config keys as transformers 4 wrote them
        path = os.path.join(d, "config.json"); c = json.load(open(path)); r = c.pop("rope_parameters")
        c.update(rope_theta=r["rope_theta"], rope_scaling=dict(type=r["rope_type"], factor=r["factor"]), torch_dtype=c.pop("dtype"), transformers_version="4.44.0")
        json.dump(c, open(path, "w"), indent=2)

@torch.no_grad()
def logits(model, tokens):
    return model(input_ids=tokens, use_cache=False).logits.float().contiguous()

def expected(step, seed):
    """step(tokens [1,T]) -> logits [1,T,V]; draws prompts until the greedy continuation is clear of ties."""
    g = torch.Generator().manual_seed(seed)
    for _ in range(50):
        tokens = torch.randint(3, V, (1, T), generator=g); cur, margin = tokens[:, :SHORT].clone(), 1.0
        for _ in range(NEW):
            last = step(cur)[0, -1]; top = last.topk(2).values; margin = min(margin, float((top[0] - top[1]) / last.std()))
            cur = torch.cat([cur, last.argmax().view(1, 1)], 1)
        if margin > 2e-2: break
    return dict(input_ids=tokens, logits=step(tokens), input_ids_short=tokens[:, :SHORT].clone(), generated=cur[:, SHORT:].clone()), margin

def note(**facts):                              # one key: safetensors orders several anew every time
    return dict(made=json.dumps(dict(seed=SEED, torch=torch.__version__, **facts)))

def write(d, out, **facts):
    save_file(out, os.path.join(d, "expected.safetensors"), metadata=note(**facts))
    big = [f for f in os.listdir(d) if os.path.getsize(os.path.join(d, f)) >= 100_000]
    if big: raise SystemExit(f"{d}: {big} reach 100 kB")

def make(name):
    cls, kw, how = MODELS[name]; seed = SEED * 1000 + sum(map(ord, name)); torch.manual_seed(seed)
    config = getattr(transformers, cls)(**json.loads(json.dumps(kw)))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval(); redraw(model, seed)
    d = os.path.join(OUT, name); os.makedirs(d, exist_ok=True); save(model, d, how)    # before any forward: RWKV-4 rescales itself
    model = transformers.AutoModelForCausalLM.from_pretrained(d, dtype=torch.float32, attn_implementation="eager").eval()
    out, margin = expected(lambda t: logits(model, t), seed + 1)
    write(d, out, transformers=transformers.__version__, command=f"tests/oracle/make_model_fixtures.py {name}")
    print(f"{name:20s} {sum(p.numel() for p in model.parameters()):6d} parameters  logits std {float(out['logits'].std()):.2f}  margin {margin:.1e}", flush=True)

if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("names", nargs="*"); a.add_argument("--list", action="store_true"); a = a.parse_args()
    torch.set_num_threads(1); transformers.logging.set_verbosity_error(); transformers.logging.disable_progress_bar()
    if a.list: print(*MODELS)
    else:
        for n in a.names or MODELS: make(n)
