#!/usr/bin/env python3
"""Outputs and gradients of published layers, for the parity law of mixers.

    OMP_NUM_THREADS=1 python tests/oracle/make_mixer_fixtures.py [NAME ...]      (no names: all)

tests/fixtures/mixers/NAME.safetensors: x, y [T,D], dy, grad.x, and by the mixer's own names the parameters NAME and their gradients
grad.NAME, all float32; its metadata has the mixer, its options as in a blueprint, and the place in a stack. Where transformers has the layer, it is the
reference (`layers` below: module, names); else it is the layer's formula here, written from the published code of the package named there.
Gradients are torch autograd's. Needs transformers 5.23, torch 2.11, safetensors; nothing is fetched.
"""
import json, math, os, sys
sys.modules["fla"] = None                       # transformers would take its GPU kernels
import torch, torch.nn.functional as F
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "mixers")
D, T = 16, 37
LIN, ATT = "linear_attention", "full_attention"

def conv(x, w, b=None):                         # x [T,C], w [C,taps]: causal, depthwise
    taps = w.shape[1]
    y = F.conv1d(F.pad(x.T[None], (taps - 1, 0)), w[:, None], b, groups=w.shape[0])[0].T
    return F.silu(y)
l2 = lambda x: x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)
rms = lambda x, w=1.0, eps=1e-5: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * w
heads = lambda x, h: x.reshape(x.shape[0], h, -1)
join = lambda x: x.reshape(x.shape[0], -1)

def recurrence(q, k, v, g=None, beta=None, scale=1.0):
    """token by token: S <- e^g S, S += k (beta (v - S^T k))^T (beta: the delta rule) or k v^T; o = scale S^T q. g [T,H] or [T,H,K]."""
    S, o = torch.zeros(q.shape[1], q.shape[2], v.shape[2], dtype=q.dtype), []
    for t in range(q.shape[0]):
        if g is not None: S = (g[t] if g.ndim == 3 else g[t][:, None]).exp()[:, :, None] * S
        write = v[t] if beta is None else beta[t][:, None] * (v[t] - torch.einsum("hk,hkv->hv", k[t], S))
        S = S + k[t][:, :, None] * write[:, None]; o.append(scale * torch.einsum("hk,hkv->hv", q[t], S))
    return torch.stack(o)

def levels_read(q, k, v, g, lam, scale, beta=None):
    """The masked sum over all pairs: lam[t, h, bit width of t ^ s], and what a later token reads of each token's write."""
    o = []
    for t in range(q.shape[0]):
        total = 0
        for s in range(t + 1):
            key = k[s] if beta is None else beta[s][:, None] * k[s]
            for r in range(s + 1, t + 1):
                key = g[r].exp()[:, None] * key
                if beta is not None: key = key - beta[r][:, None] * k[r] * (k[r] * key).sum(-1, keepdim=True)
            total = total + (lam[t, :, (t ^ s).bit_length()] * (q[t] * key).sum(-1))[:, None] * v[s]
        o.append(scale * total)
    return torch.stack(o)

def delta_inputs(x, p, key_heads, h, writes=1, twice=False):                     # fla/layers/delta_net.py, gated_deltanet.py, gated_deltaproduct.py
    q, k, v = (conv(x @ p[f"{n}_proj.weight"].T, p[f"{n}_conv1d.weight"]) for n in "qkv")
    rows = x.shape[0] * writes
    q, k, v = l2(heads(q, key_heads)), l2(k.reshape(rows, key_heads, -1)), v.reshape(rows, h, -1)
    beta = torch.sigmoid(x @ p["b_proj.weight"].T).reshape(rows, h) * (2 if twice else 1)
    return q.repeat_interleave(h // key_heads, 1), k.repeat_interleave(h // key_heads, 1), v, beta

def scalar_decay(x, p): return -p["A_log"].exp() * F.softplus(x @ p["a_proj.weight"].T + p["dt_bias"])

def delta_net(x, p, h, gate=False, **o):
    q, k, v, beta = delta_inputs(x, p, h, h, **o); y = rms(recurrence(q, k, v, None, beta, q.shape[-1] ** -0.5), p["o_norm.weight"])
    return (join(y) * F.silu(x @ p["g_proj.weight"].T) if gate else join(y)) @ p["o_proj.weight"].T

def gated_delta(x, p, key_heads, h, writes=1, twice=False, levels=0):
    q, k, v, beta = delta_inputs(x, p, key_heads, h, writes, twice); g = scalar_decay(x, p); scale = q.shape[-1] ** -0.5
    if levels:                                                                  # HanGuo97/log-linear-attention, HGatedDeltaNet
        lam = F.softplus(p["L"] * heads(x @ p["l_proj.weight"].T, h)); y = levels_read(q, k, v, g, lam, scale, beta)
    else:
        spread = lambda a, at: torch.stack([a if j == at else torch.zeros_like(a) for j in range(writes)], 1).flatten(0, 1)
        y = recurrence(spread(q, writes - 1), k, v, spread(g, 0), beta, scale)[writes - 1 :: writes]
    return (join(rms(y, p["o_norm.weight"])) * F.silu(x @ p["g_proj.weight"].T)) @ p["o_proj.weight"].T

def log_linear_mamba2(x, p, h, groups, state, levels):                           # fla/layers/log_linear_mamba2.py
    E = p["out_proj.weight"].shape[1]; GS = groups * state
    z, xbc, dt, dl = torch.split(x @ p["in_proj.weight"].T, [E, E + 2 * GS, h, h * levels], -1)
    u, b, c = torch.split(conv(xbc, p["conv1d.weight"], p["conv1d.bias"]), [E, GS, GS], -1)
    dt = F.softplus(dt + p["dt_bias"]); b, c = (heads(a, groups).repeat_interleave(h // groups, 1) for a in (b, c))
    u = heads(u, h); lam = F.softplus(p["L"] * heads(dl, h))
    y = levels_read(c, b, u * dt[..., None], -p["A_log"].exp() * dt, lam, 1.0) + p["D"][:, None] * u
    return rms(join(y) * F.silu(z), p["norm.weight"]) @ p["out_proj.weight"].T

def mlstm(x, p, h):                                                              # NX-AI/xlstm, blocks/mlstm: parallel stabilised form
    a, z = (x @ p["proj_up.weight"].T).chunk(2, -1); E = a.shape[1]; n = E // h
    c = conv(a, p["conv1d.conv.weight"], p["conv1d.conv.bias"])
    block = lambda u, w: torch.einsum("tni,noi->tno", u.reshape(len(u), w.shape[0], -1), w).flatten(1)
    q, k, v = (block(u, p[f"{name}_proj.weight"]) for name, u in zip("qkv", (c, c, a))); all = torch.cat([q, k, v], -1)
    i, f = (all @ p[f"mlstm_cell.{g}gate.weight"].T + p[f"mlstm_cell.{g}gate.bias"] for g in "if")
    G = F.logsigmoid(f).cumsum(0); low = torch.ones(len(x), len(x)).triu(1).bool()
    logs = (G[:, None] - G[None] + i[None]).masked_fill(low[..., None], -math.inf); m = torch.maximum(logs.amax(1), G)       # m_0 = 0
    C = torch.einsum("ihd,jhd->ijh", heads(q, h), heads(k, h)) * n ** -0.5 * (logs - m[:, None]).exp()
    o = torch.einsum("ijh,jhd->ihd", C, heads(v, h)) / (torch.maximum(C.sum(1).abs(), (-m).exp()) + 1e-6)[..., None]
    o = join(F.layer_norm(o, (n,), eps=1e-5)) * (1 + p["mlstm_cell.outnorm.weight"])
    return ((o + p["learnable_skip"] * c) * F.silu(z)) @ p["proj_down.weight"].T

def transnormer(x, p, h, layer, layers):                                         # OpenNLPLab's modeling_transnormer.py
    A = p["out_proj.weight"].shape[1]; q, k, v, u = torch.split(x @ p["qkvu_proj.weight"].T, A, -1); q, k, v = (heads(a, h) for a in (F.silu(q), F.silu(k), v))
    if "lrpe.theta" in p:
        turn = torch.arange(len(x), dtype=x.dtype)[:, None, None] * p["lrpe.theta"][:, 0]; q, k = (torch.cat([a * turn.cos(), a * turn.sin()], -1) for a in (q, k))
    slopes = 2.0 ** (-8 * (torch.arange(h, dtype=x.dtype) + 1) / h) * (1 - layer / max(1, layers - 1) + 1e-5)
    y = recurrence(q, k, v, -slopes.expand(len(x), h))
    return (rms(join(y), eps=1e-6) * u) @ p["out_proj.weight"].T

# mixer: shapes of its parameters (a formula), or a layer of transformers and how its names and ours meet
def delta_shapes(key_heads, h, K, V, writes=1, gate=True, decay=True, levels=0):
    s = {"q_proj.weight": (key_heads * K, D), "k_proj.weight": (writes * key_heads * K, D), "v_proj.weight": (writes * h * V, D), "b_proj.weight": (writes * h, D),
         "o_proj.weight": (D, h * V), "o_norm.weight": (V,)}
    s |= {f"{n}_conv1d.weight": (s[f"{n}_proj.weight"][0], 4) for n in "qkv"}
    if gate: s["g_proj.weight"] = (h * V, D)
    if decay: s |= {"a_proj.weight": (h, D), "A_log": (h,), "dt_bias": (h,)}
    if levels: s |= {"l_proj.weight": (h * levels, D), "L": (h, levels)}
    return s

def from_olmo():
    from transformers import OlmoHybridConfig
    from transformers.models.olmo_hybrid.modeling_olmo_hybrid import OlmoHybridGatedDeltaNet
    c = OlmoHybridConfig(hidden_size=D, layer_types=[LIN, ATT], num_hidden_layers=2, num_attention_heads=2, linear_num_key_heads=2, linear_num_value_heads=2,
                         linear_key_head_dim=5, linear_value_head_dim=6)
    return OlmoHybridGatedDeltaNet(c, 0), lambda m, x: m(x)
def from_kimi():
    from transformers import KimiLinearConfig
    from transformers.models.kimi_linear.modeling_kimi_linear import KimiLinearDeltaAttention
    c = KimiLinearConfig(hidden_size=D, linear_head_dim=6, linear_num_heads=2, layer_types=[LIN, ATT], num_hidden_layers=2, rms_norm_eps=1e-5)
    return KimiLinearDeltaAttention(c, 0), lambda m, x: m(x)
def from_minimax():
    from transformers import MiniMaxConfig
    from transformers.models.minimax.modeling_minimax import MiniMaxLightningAttention
    c = MiniMaxConfig(hidden_size=D, num_attention_heads=2, head_dim=6, num_hidden_layers=4, layer_types=[LIN] * 4, block_size=8)
    return MiniMaxLightningAttention(c, 1), lambda m, x: m(x, None, None)[0]
def from_xlstm():
    from transformers import xLSTMConfig
    from transformers.models.xlstm.modeling_xlstm import xLSTMLayer
    c = xLSTMConfig(hidden_size=D, num_heads=2, qk_dim_factor=0.5, num_hidden_layers=2, num_blocks=2, chunk_size=16, autocast_kernel_dtype="float32", return_last_states=True)
    return xLSTMLayer(c), lambda m, x: m(x)[0]
fused_conv = lambda p, sizes: dict(zip(("q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight"), p.pop("conv1d.weight")[:, 0].split(sizes)))
def kimi_names(p):
    p |= fused_conv(p, [12, 12, 12]); return {k.removeprefix("forget_gate."): v.reshape(-1) if k.endswith("A_log") else v for k, v in p.items()}

MIXERS = {  # fixture: mixer, options, layer, layers, then shapes and formula, or layer and names
 "delta_net": ("delta_net", "heads=2, key=5, value=6", 0, 1, delta_shapes(2, 2, 5, 6, gate=False, decay=False), lambda x, p: delta_net(x, p, 2)),
 "delta_net@gate": ("delta_net", "heads=2, gate=on, twice=on", 0, 1, delta_shapes(2, 2, 8, 8, decay=False), lambda x, p: delta_net(x, p, 2, True, twice=True)),
 "gated_delta_net": ("gated_delta_net", "heads=2, key=5, value=6, twice=on", 0, 1, from_olmo, lambda p: p | fused_conv(p, [10, 10, 12])),
 "gated_delta_net@groups": ("gated_delta_net", "heads=4, key_heads=2, key=5, value=3", 0, 1, delta_shapes(2, 4, 5, 3), lambda x, p: gated_delta(x, p, 2, 4)),
 "gated_delta_product": ("gated_delta_product", "heads=2, key=5, value=4, writes=3", 0, 1, delta_shapes(2, 2, 5, 4, 3), lambda x, p: gated_delta(x, p, 2, 2, 3, True)),
 "kda": ("kda", "heads=2, key=6", 0, 1, from_kimi, kimi_names),
 "log_linear_gdn": ("log_linear_gdn", "heads=2, key=5, value=4, levels=7", 0, 1, delta_shapes(2, 2, 5, 4, levels=7), lambda x, p: gated_delta(x, p, 2, 2, levels=7)),
 "log_linear_mamba2": ("log_linear_mamba2", "heads=4, dim=3, groups=2, state=5, levels=7", 0, 1,
   {"in_proj.weight": (24 + 20 + 4 + 28, D), "conv1d.weight": (32, 4), "conv1d.bias": (32,), "dt_bias": (4,), "A_log": (4,), "D": (4,), "L": (4, 7), "norm.weight": (12,),
    "out_proj.weight": (D, 12)}, lambda x, p: log_linear_mamba2(x, p, 4, 2, 5, 7)),
 "mlstm": ("mlstm", "inner=24, heads=2", 0, 1,
   {"proj_up.weight": (48, D), "proj_down.weight": (D, 24), "conv1d.conv.weight": (24, 4), "conv1d.conv.bias": (24,), **{f"{n}_proj.weight": (6, 4, 4) for n in "qkv"},
    **{f"mlstm_cell.{g}gate.{w}": (2, 72) if w == "weight" else (2,) for g in "if" for w in ("weight", "bias")}, "mlstm_cell.outnorm.weight": (24,), "learnable_skip": (24,)},
   lambda x, p: mlstm(x, p, 2)),
 "mlstm_large": ("mlstm_large", "heads=2", 0, 1, from_xlstm, lambda p: p),
 "transnormer": ("transnormer", "heads=2, dim=7", 0, 3, {"qkvu_proj.weight": (56, D), "out_proj.weight": (D, 14), "lrpe.theta": (2, 1, 7)}, lambda x, p: transnormer(x, p, 2, 0, 3)),
 "transnormer@later": ("transnormer", "heads=2", 1, 3, {"qkvu_proj.weight": (64, D), "out_proj.weight": (D, 16)}, lambda x, p: transnormer(x, p, 2, 1, 3)),
 "lightning": ("lightning", "heads=2, dim=6", 1, 4, from_minimax, lambda p: p),
}

def draw(name, shape, g):
    """A value for every parameter, so that nothing hides behind a zero or a one."""
    n, u = torch.randn(shape, generator=g, dtype=torch.float64), torch.rand(shape, generator=g, dtype=torch.float64)
    leaf = name.split(".")[-1]
    if leaf == "A_log": v = math.log(0.03) + u * math.log(60)
    elif leaf == "dt_bias": v = torch.log(torch.expm1(0.05 + 0.5 * u))
    elif leaf == "theta": v = u * 1.5
    elif leaf == "L" or leaf in ("D", "learnable_skip") or "norm" in name and "outnorm" not in name: v = 1 + 0.3 * n
    elif name.endswith("fgate.bias") or name.endswith("fgate_preact.bias"): v = 1 + 3 * u
    elif len(shape) < 2: v = 0.3 * n
    else: v = n * shape[-1] ** -0.5 * (2 if "gate" in name else 1)
    return v.float().double()

def make(name):
    mixer, options, layer, layers, source, last = MIXERS[name]; g = torch.Generator().manual_seed(sum(map(ord, name)))
    x = torch.randn(T, D, generator=g).double().requires_grad_(); dy = torch.randn(T, D, generator=g).double()
    if callable(source):
        module, run = source(); module = module.double(); named = dict(module.named_parameters())
        with torch.no_grad():
            for n, p in named.items(): p.copy_(draw(n, tuple(p.shape), g))
        y = run(module, x[None])[0]; y.backward(dy.to(y.dtype)); rename = last
        grads = rename({n: p.grad for n, p in named.items()}); params = rename({n: p.detach() for n, p in named.items()})
    else:
        p = {n: draw(n, s, g).requires_grad_() for n, s in source.items()}
        y = last(x, p); y.backward(dy); params, grads = {n: t.detach() for n, t in p.items()}, {n: t.grad for n, t in p.items()}
    out = dict(x=x.detach(), y=y.detach(), dy=dy, **{"grad.x": x.grad}, **params, **{"grad." + n: t for n, t in grads.items()})
    import transformers
    facts = dict(mixer=mixer, options=options, layer=str(layer), layers=str(layers), made=json.dumps(dict(torch=torch.__version__, transformers=transformers.__version__)))
    os.makedirs(OUT, exist_ok=True); path = os.path.join(OUT, name + ".safetensors")
    save_file({n: t.float().contiguous() for n, t in out.items()}, path, metadata=facts)
    print(f"{name:24s} {os.path.getsize(path):7d} bytes  y std {float(y.detach().std()):.3f}  gradients' std {min(float(t.std()) if t.numel() > 1 else float(t.abs()) for t in grads.values()):.1e} and more", flush=True)

if __name__ == "__main__":
    torch.set_num_threads(1)
    for n in sys.argv[1:] or MIXERS: make(n)
