#!/usr/bin/env python3
"""Tiny models of flash-linear-attention (config.json and tensor names as that package writes them), with logits.

    OMP_NUM_THREADS=1 python tests/oracle/make_fla_fixtures.py [gla hgrn2 retnet ... linear_attn_elu]

The package's own models compute the logits on a CPU in float32, their Triton kernels under Triton's interpreter (a stand-in
driver, recurrent kernels); only RWKV-7 beyond 63 tokens takes a plain recurrence in place of the chunk kernel, and softmax
attention in hybrids torch's in place of flash-attn's (the package's RWKV-7 cannot run as a hybrid: 0.6.0 takes v_first from a layer of attention).
Needs triton 3.6.0, fla-core and flash-linear-attention 0.6.0, numpy 2.2 (the interpreter fails with 2.4).
"""
import os, re, sys
os.environ.update(TRITON_INTERPRET="1", TORCHDYNAMO_DISABLE="1")
import torch, triton, transformers
from triton.backends.compiler import GPUTarget
from triton.runtime.autotuner import Autotuner
from make_model_fixtures import OUT, SEED, V, expected, ids, logits, redraw, write

class Driver:
    """What fla and the interpreter ask of a device that is not there."""
    class utils:
        @staticmethod
        def get_device_properties(device): return dict(multiprocessor_count=1, max_shared_mem=1 << 17, warpSize=32)
    def get_current_device(self): return 0
    def get_current_stream(self, device=0): return 0
    def get_device_interface(self): return torch.cpu
    def get_current_target(self): return GPUTarget("cpu", 0, 32)
    def get_active_torch_device(self): return torch.device("cpu")

triton.runtime.driver.set_active(Driver())
Autotuner._bench = lambda self, *a, **k: 1.0
del sys.modules["fla"]                          # make_model_fixtures hides it
import fla.layers.attn, fla.layers.rwkv7, fla.models as models

def rwkv7_recurrence(r, w, k, v, a, b, scale, initial_state=None, **_):
    S, out = torch.zeros(*k.shape[0:1], k.shape[2], k.shape[3], v.shape[3], dtype=torch.float64), []
    r, w, k, v, a, b = (x.double() for x in (r, w, k, v, a, b))
    for t in range(r.shape[1]):
        read = torch.einsum("bhk,bhkv->bhv", a[:, t], S)
        S = w[:, t].exp()[..., None] * S + b[:, t, :, :, None] * read[:, :, None] + k[:, t, :, :, None] * v[:, t, :, None]
        out.append(scale * torch.einsum("bhk,bhkv->bhv", r[:, t], S))
    return torch.stack(out, 1).float(), None

fla.layers.rwkv7.chunk_rwkv7 = rwkv7_recurrence

def softmax_attention(q, k, v, causal, window_size):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v)); T = q.shape[2]; d = torch.arange(T)[:, None] - torch.arange(T)
    seen = (d >= 0) & (d <= (window_size[0] if window_size[0] >= 0 else T))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True).transpose(1, 2)

fla.layers.attn.flash_attn_func = softmax_attention

small = dict(**ids, hidden_size=32, intermediate_size=32, num_hidden_layers=2, fuse_cross_entropy=False)
attn = lambda *layers, **k: dict(layers=list(layers), num_heads=4, num_kv_heads=2, **k)
MODELS = {
 "gla": ("GLA", dict(**small, num_heads=2)),                                     # K = 8, V = 16
 "hgrn2": ("HGRN2", dict(**small, expand_ratio=16)),
 "gla_groups": ("GLA", dict(**small, num_heads=4, num_kv_heads=2, feature_map="relu", use_short_conv=True, clamp_min=-0.1)),
 "gla_hybrid": ("GLA", dict(**{**small, "hidden_size": 24, "num_hidden_layers": 3}, num_heads=2, attn=attn(1, qkv_bias=True, rope_theta=500.0))),
 "hgrn2_hybrid": ("HGRN2", dict(**{**small, "num_hidden_layers": 3}, expand_ratio=16, attn=[attn(0, window_size=14), attn(2)])),
 "linear_attn": ("LinearAttention", dict(**small, num_heads=4, num_kv_heads=2)),
 "linear_attn_elu": ("LinearAttention", dict(**small, num_heads=2, feature_map="elu")),
 "retnet_groups": ("RetNet", dict(**{**small, "hidden_size": 24}, num_heads=2, num_kv_heads=1, feature_map="relu2", attn=attn(1, window_size=14))),
 "retnet": ("RetNet", dict(**{**small, "hidden_size": 24}, num_heads=2)),         # K = 12, V = 24
 "rwkv6_fla": ("RWKV6", dict(**small, expand_k=1.0, num_heads=2, proj_low_rank_dim=8, gate_low_rank_dim=6)),
 "rwkv6_hybrid": ("RWKV6", dict(**small, expand_k=1.0, num_heads=2, proj_low_rank_dim=8, gate_low_rank_dim=6, attn=attn(0, qkv_bias=True))),
 "rwkv7_fla": ("RWKV7", dict(**{**small, "num_hidden_layers": 3}, head_dim=16, decay_low_rank_dim=8, a_low_rank_dim=6, v_low_rank_dim=4, gate_low_rank_dim=12)),
}

def spread(model, seed):
    """What redraw's general rules leave too tame: mixes over (0, 1), gates from slow to fast."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        u = torch.rand(p.shape, generator=g)
        rule = next((r for pattern, r in ((r"\.x_[rwkvag]$|\.x_bias$|\.mu$", (0, 1)), (r"gk_proj\.1\.bias", (-30, 3)), (r"lower_bounds", (-2, 2)),
                    (r"w_proj.*lora\.2\.bias", (-5, 0.5)), (r"w_lora.*bias", (-4, 2))) if re.search(pattern, name)), None)
        if rule:
            with torch.no_grad(): p.copy_(rule[0] + (rule[1] - rule[0]) * u)

def make(name):
    cls, kw = MODELS[name]; seed = SEED * 1000 + sum(map(ord, name)); torch.manual_seed(seed)
    model = getattr(models, cls + "ForCausalLM")(getattr(models, cls + "Config")(**kw)).float().eval(); redraw(model, seed); spread(model, seed)
    d = os.path.join(OUT, name); os.makedirs(d, exist_ok=True); (model.to(torch.bfloat16) if "rwkv" in name else model).save_pretrained(d)
    if os.path.exists(d + "/generation_config.json"): os.remove(d + "/generation_config.json")
    config = getattr(models, cls + "Config").from_pretrained(d); config.attn_mode = "fused_recurrent"
    model = getattr(models, cls + "ForCausalLM").from_pretrained(d, config=config, dtype=torch.float32).eval()
    out, margin = expected(lambda t: logits(model, t), seed + 1)
    write(d, out, fla_core="0.6.0", triton=triton.__version__, transformers=transformers.__version__,
          computed_by="fla's model, Triton interpreter" + (", plain recurrence beyond 63 tokens" if cls == "RWKV7" else ""), command=f"tests/oracle/make_fla_fixtures.py {name}")
    short = out["input_ids_short"].shape[1]
    off = float((logits(model, out["input_ids_short"]) - out["logits"][:, :short]).norm() / out["logits"][:, :short].norm())
    print(f"{name:12s} {sum(p.numel() for p in model.parameters()):6d} parameters  logits std {float(out['logits'].std()):.2f}  margin {margin:.1e}  short against long {off:.1e}", flush=True)

if __name__ == "__main__":
    torch.set_num_threads(1); transformers.logging.set_verbosity_error(); transformers.logging.disable_progress_bar()
    for n in sys.argv[1:] or MODELS: make(n)
