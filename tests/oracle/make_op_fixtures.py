#!/usr/bin/env python3
"""Inputs, parameters and expected outputs of operators, by the names that `headrace op NAME` takes.

    OMP_NUM_THREADS=1 python tests/oracle/make_op_fixtures.py [NAME ...]        (no names: all)

tests/fixtures/ops/CASE.in.safetensors, CASE.params.json and CASE.expected.safetensors; CASE is the operator's name, or
NAME@variant (the part before @ is the operator). The outputs are the plain recurrences and masks below in float64,
stored in float32. A second implementation (fla-core's naive functions, transformers, torch; float32) must agree to 1e-4 of
the norm where there is one; the metadata gives the difference.
"""
import glob, importlib.util, json, math, os, sys
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "ops")
B, T, H, K, V, C = 2, 67, 2, 8, 12, 24

class Draw:
    """Random tensors, rounded to float32 (what the file will hold) and handed out in float64."""
    def __init__(self, seed): self.g = torch.Generator().manual_seed(seed)
    def normal(self, *s, sd=1.0, mean=0.0): return (mean + sd * torch.randn(s, generator=self.g)).float().double()
    def uniform(self, *s, a=0.0, b=1.0): return (a + (b - a) * torch.rand(s, generator=self.g)).float().double()
    def qkv(self, b=B, t=T, h=H, hk=None, k=K, v=V):
        hk = hk or h
        return dict(q=self.normal(b, t, h, k), k=self.normal(b, t, hk, k), v=self.normal(b, t, hk, v))
    def state(self, b=B, h=H, k=K, v=V): return self.normal(b, h, k, v, sd=0.5)

# ---- definitions ----------------------------------------------------------------------------------------------------

def attend(i, mask, scale=None, cap=None, alibi=False):
    q, k, v = i["q"], i["k"], i["v"]; n = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(n, 2), v.repeat_interleave(n, 2)
    t, heads = torch.arange(q.shape[1]), q.shape[2]; back = t[:, None] - t[None, :]            # i - j
    s = torch.einsum("bihd,bjhd->bhij", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if cap: s = cap * torch.tanh(s / cap)
    if alibi: s = s - (2.0 ** (-8.0 * (torch.arange(heads).double() + 1) / heads))[:, None, None] * back
    s = s.masked_fill(~mask(back), -math.inf)
    if "sinks" in i: s = torch.cat([s, i["sinks"].view(1, -1, 1, 1).expand(*s.shape[:3], 1)], -1)
    return dict(o=torch.einsum("bhij,bjhd->bihd", s.softmax(-1)[..., : len(t)], v))

def recur(q, k, v, log_decay=None, scale=1.0, h0=None, beta=None, a=None, b=None, u=None):
    """S [B,H,K,V]. log_decay [B,T,H,K] or [B,T,H]; beta: delta rule on the decayed state; a, b: low-rank removal on the
    state before decay; u: read the state before the update plus the bonus."""
    S = torch.zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3]).double() if h0 is None else h0; out = []
    for t in range(q.shape[1]):
        kt, vt, old = k[:, t], v[:, t], S
        if log_decay is not None:
            w = log_decay[:, t].exp(); S = (w[..., None] if w.ndim == 3 else w[..., None, None]) * S
        if beta is not None: vt = beta[:, t, :, None] * (vt - torch.einsum("bhk,bhkv->bhv", kt, S))
        if a is not None: S = S + b[:, t, :, :, None] * torch.einsum("bhk,bhkv->bhv", a[:, t], old)[:, :, None]
        kv = kt[..., None] * vt[..., None, :]
        S = S + kv
        out.append(scale * torch.einsum("bhk,bhkv->bhv", q[:, t], S if u is None else old + u[..., None] * kv))
    return dict(o=torch.stack(out, 1), final_state=S)

def decay_of(i, name): return {**{n: i[n] for n in "qkv"}, "log_decay": i[name], "h0": i.get("h0")}

def conv(x, weight, bias, init):
    z = torch.cat([init, x], 1)
    return bias + sum(z[:, j : j + x.shape[1]] * weight[:, 0, j] for j in range(weight.shape[-1]))

def selective_scan(u, delta, A, B, C, D, z, delta_bias):
    dt = F.softplus(delta + delta_bias); h = torch.zeros(u.shape[0], *A.shape).double(); out = []
    for t in range(u.shape[1]):
        h = torch.exp(dt[:, t, :, None] * A) * h + (dt[:, t] * u[:, t])[..., None] * B[:, t, None]
        out.append((h * C[:, t, None]).sum(-1) + D * u[:, t])
    return dict(o=torch.stack(out, 1) * F.silu(z), final_state=h)

def ssd(x, dt, A, B, C, h0):
    h, out = h0, []                                                                             # [B,H,P,N]
    for t in range(x.shape[1]):
        h = torch.exp(dt[:, t] * A)[..., None, None] * h + (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None]
        out.append((h * C[:, t, :, None]).sum(-1))
    return dict(o=torch.stack(out, 1), final_state=h)

def rg_lru(x, recurrent_param, input_gate_weight, input_gate_bias, recurrent_gate_weight, recurrent_gate_bias):
    heads, width = input_gate_bias.shape; b, t, c = x.shape
    gate = lambda w, z: torch.sigmoid(torch.einsum("bthi,hio->btho", x.view(b, t, heads, width), w) + z).reshape(b, t, c)
    log_a = -8 * F.softplus(recurrent_param) * gate(recurrent_gate_weight, recurrent_gate_bias)
    gain = torch.sqrt(-torch.expm1(2 * log_a)); gain = torch.cat([torch.ones_like(gain[:, :1]), gain[:, 1:]], 1)
    x = gain * gate(input_gate_weight, input_gate_bias) * x; h, out = torch.zeros(b, c).double(), []
    for s in range(t): h = log_a[:, s].exp() * h + x[:, s]; out.append(h)
    return dict(o=torch.stack(out, 1), final_state=h)

def wkv4(w, u, k, v):
    num = den = torch.zeros_like(k[:, 0]); top = torch.full_like(num, -1e38); out = []
    for t in range(k.shape[1]):
        p = torch.maximum(top, u + k[:, t]); e, c = torch.exp(top - p), torch.exp(u + k[:, t] - p)
        out.append((e * num + c * v[:, t]) / (e * den + c))
        p = torch.maximum(top - torch.exp(w), k[:, t]); e, c = torch.exp(top - torch.exp(w) - p), torch.exp(k[:, t] - p)
        num, den, top = e * num + c * v[:, t], e * den + c, p
    return dict(o=torch.stack(out, 1), num=num, den=den, maxexp=top)

def lru(u, nu_log, theta_log, B_re, B_im, C_re, C_im, D, gamma_log):
    size, angle = torch.exp(-torch.exp(nu_log)), torch.exp(theta_log)
    step, h, out = torch.complex(size * torch.cos(angle), size * torch.sin(angle)), 0, []
    drive = torch.exp(gamma_log) * (u.to(torch.complex128) @ torch.complex(B_re, B_im).T)
    for t in range(u.shape[1]): h = step * h + drive[:, t]; out.append((h @ torch.complex(C_re, C_im).T).real + D * u[:, t])
    return dict(o=torch.stack(out, 1), h_re=h.real, h_im=h.imag)

def hgrn(x, g, h0):
    h, out = h0, []
    for t in range(x.shape[1]): h = g[:, t].exp() * h + x[:, t]; out.append(h)
    return dict(o=torch.stack(out, 1), final_state=h)

# ---- cases: name -> (inputs, params, outputs) ------------------------------------------------------------------------

causal = lambda back: back >= 0
unit = lambda x: F.normalize(x, dim=-1).float().double()
root = K ** -0.5

def cases():
    d = Draw(1)
    def add(name, i, p, o): table[name] = (i, p, o)
    table = {}
    for name, hk in (("attn_causal", 2), ("attn_causal@mqa", 1)):
        i = d.qkv(h=4, hk=hk); add(name, i, {}, attend(i, causal))
    i = d.qkv(t=1, h=4, hk=2); add("attn_causal@one", i, {}, attend(i, causal))
    i = d.qkv(); add("attn_full", i, {}, attend(i, lambda back: back == back))
    i = d.qkv(); add("attn_sliding_window", i, dict(window=16), attend(i, lambda back: (back >= 0) & (back < 16)))
    i = d.qkv(); add("attn_window_bidir", i, dict(half_window=8), attend(i, lambda back: back.abs() <= 8))
    i = {**d.qkv(h=4, hk=2), "sinks": d.normal(4)}
    add("attn_softcap_sink_alibi", i, dict(scale=0.3, cap=5.0, alibi=True), attend(i, causal, 0.3, 5.0, True))
    for name, t in (("causal_conv1d", T), ("causal_conv1d@one", 1)):
        i = dict(x=d.normal(B, t, C), weight=d.normal(C, 1, 4, sd=0.5), bias=d.normal(C, sd=0.2), init=d.normal(B, 3, C)); y = conv(**i)
        add(name, i, {}, dict(o=F.silu(y), no_act=y))
    for name, t in (("linear_attn", T), ("linear_attn@one", 1)):
        i = {**d.qkv(t=t), "h0": d.state()}; add(name, i, dict(scale=root, normalize=False), recur(**i, scale=root))
    i = d.qkv(); q, k, v = (F.elu(i["q"]) + 1, F.elu(i["k"]) + 1, i["v"]); one = torch.ones_like(v[..., :1])
    o = recur(q, k, torch.cat([v, one], -1))["o"]; add("linear_transformer_elu", i, dict(eps=1e-6), dict(o=o[..., :-1] / (o[..., -1:] + 1e-6)))

    i = {**d.qkv(), "g": F.logsigmoid(d.normal(B, T, H)).float().double(), "h0": d.state()}
    add("simple_gla", i, dict(scale=root), recur(**decay_of(i, "g"), scale=root))
    i = dict(i); i["g"] = torch.where(d.uniform(B, T, H) < 0.15, -1e4, torch.where(d.uniform(B, T, H) < 0.5, 0.0, -0.3)).float().double()
    add("simple_gla@forget_all", i, dict(scale=root), recur(**decay_of(i, "g"), scale=root))
    i = {**d.qkv(), "gk": (F.logsigmoid(d.normal(B, T, H, K)) / 16).float().double(), "h0": d.state()}
    add("gla", i, dict(scale=root), recur(**decay_of(i, "gk"), scale=root))
    i = dict(i); i["gk"] = d.uniform(B, T, H, K, a=-8, b=0)
    add("gla@strong", i, dict(scale=root), recur(**decay_of(i, "gk"), scale=root))
    i = {**d.qkv(t=1), "gk": d.uniform(B, 1, H, K, a=-1, b=0), "h0": d.state()}
    add("gla@one", i, dict(scale=root), recur(**decay_of(i, "gk"), scale=root))
    i = d.qkv(h=4); log = torch.log1p(-(2.0 ** (-5 - torch.arange(4).double())))
    add("retention", i, {}, dict(o=recur(**i, log_decay=log.expand(B, T, 4), scale=root)["o"]))
    i = d.qkv(); slopes = [2.0 ** (-8 * (h + 1) / H) for h in range(H)]
    add("lightning_attention", i, dict(slopes=slopes, scale=1.0), recur(**i, log_decay=-torch.tensor(slopes).double().expand(B, T, H)))

    i = dict(x=d.normal(B, T, 32), g=F.logsigmoid(d.normal(B, T, 32)).float().double(), h0=d.normal(B, 32)); add("hgrn", i, {}, hgrn(**i))
    i = d.qkv(); i = dict(q=i["q"], f=torch.sigmoid(d.normal(B, T, H, K, mean=1.0)).float().double(), v=i["v"])
    add("hgrn2", i, dict(scale=1.0), recur(i["q"], 1 - i["f"], i["v"], i["f"].log()))
    i = dict(w=d.uniform(32, a=-5, b=1), u=d.normal(32, sd=0.5), k=d.normal(B, T, 32), v=d.normal(B, T, 32)); add("rwkv4_wkv", i, {}, wkv4(**i))
    i = {**i, "k": d.normal(B, T, 32, sd=30.0)}; add("rwkv4_wkv@large_keys", i, {}, wkv4(**i))
    i = {**d.qkv(), "w": (-torch.exp(d.uniform(H, K, a=-5, b=1))).float().double(), "u": d.normal(H, K, sd=0.5), "h0": d.state()}
    add("rwkv5", i, dict(scale=1.0), recur(i["q"], i["k"], i["v"], i["w"].expand(B, T, H, K), 1.0, i["h0"], u=i["u"]))
    for name, t in (("rwkv6", T), ("rwkv6@one", 1)):
        i = {**d.qkv(t=t), "w": (-torch.exp(d.uniform(B, t, H, K, a=-5, b=1))).float().double(), "u": d.normal(H, K, sd=0.5), "h0": d.state()}
        add(name, i, dict(scale=1.0), recur(**decay_of(i, "w"), u=i["u"]))
    for name, t in (("rwkv7", T), ("rwkv7@one", 1)):
        x = d.qkv(t=t); hat = F.normalize(d.normal(B, t, H, K), dim=-1)
        i = dict(r=x["q"], w=(-math.exp(-0.5) * torch.sigmoid(d.normal(B, t, H, K, sd=2.0))).float().double(), k=x["k"], v=x["v"],
                 a=(-hat).float().double(), b=(hat * d.uniform(B, t, H, K)).float().double(), h0=d.state())
        add(name, i, dict(scale=1.0), recur(i["r"], i["k"], i["v"], i["w"], 1.0, i["h0"], a=i["a"], b=i["b"]))

    def delta(t=T, b=1.0): i = d.qkv(t=t); return dict(q=unit(i["q"]), k=unit(i["k"]), v=i["v"], beta=d.uniform(B, t, H, a=0, b=b))
    for name, t in (("delta_rule", T), ("delta_rule@one", 1)):
        i = {**delta(t), "h0": d.state()}; add(name, i, dict(scale=root), recur(**i, scale=root))
    i = delta(b=2.0); add("delta_rule_neg_eigval", i, dict(scale=root, allow_neg_eigval=True), recur(**i, scale=root))
    i = {**delta(), "g": F.logsigmoid(d.normal(B, T, H)).float().double(), "h0": d.state()}
    add("gated_delta_rule", i, dict(scale=root), recur(**decay_of(i, "g"), beta=i["beta"], scale=root))
    i = dict(i); i["g"] = d.uniform(B, T, H, a=-20, b=0)
    add("gated_delta_rule@strong", i, dict(scale=root), recur(**decay_of(i, "g"), beta=i["beta"], scale=root))
    i = {**delta(), "g": F.logsigmoid(d.normal(B, T, H, K, mean=1.0)).float().double(), "h0": d.state()}
    add("kda", i, dict(scale=root), recur(**decay_of(i, "g"), beta=i["beta"], scale=root))

    for name, t in (("mamba_selective_scan", T), ("mamba_selective_scan@one", 1)):
        i = dict(u=d.normal(B, t, C), delta=d.normal(B, t, C), A=(-torch.exp(d.uniform(C, 8, a=-2, b=1.5))).float().double(), B=d.normal(B, t, 8),
                 C=d.normal(B, t, 8), D=d.normal(C), z=d.normal(B, t, C), delta_bias=d.normal(C, sd=0.5, mean=-1.0))
        add(name, i, dict(delta_softplus=True), selective_scan(**i))
    for name, t in (("mamba2_ssd", 64), ("mamba2_ssd@ragged", T)):
        i = dict(x=d.normal(B, t, H, K), dt=F.softplus(d.normal(B, t, H, mean=-1.0)).float().double(), A=-d.uniform(H, a=0.2, b=2.0), B=d.normal(B, t, H, V),
                 C=d.normal(B, t, H, V), h0=d.normal(B, H, K, V, sd=0.5))
        add(name, i, dict(chunk=32), ssd(**i))
    i = dict(x=d.normal(B, T, 32), recurrent_param=torch.log(torch.expm1(torch.exp(d.uniform(32, a=math.log(5e-4), b=math.log(0.3))))).float().double(),
             input_gate_weight=d.normal(4, 8, 8, sd=0.4), input_gate_bias=d.normal(4, 8, sd=0.2), recurrent_gate_weight=d.normal(4, 8, 8, sd=0.4), recurrent_gate_bias=d.normal(4, 8, sd=0.2))
    add("rg_lru", i, {}, rg_lru(**i))
    nu = torch.log(-torch.log(d.uniform(12, a=0.6, b=0.99))).float().double()
    i = dict(u=d.normal(B, T, 16), nu_log=nu, theta_log=torch.log(d.uniform(12, a=0.05, b=3.1)).float().double(), B_re=d.normal(12, 16, sd=0.2), B_im=d.normal(12, 16, sd=0.2),
             C_re=d.normal(16, 12, sd=0.3), C_im=d.normal(16, 12, sd=0.3), D=d.normal(16), gamma_log=(0.5 * torch.log1p(-torch.exp(-2 * torch.exp(nu)))).float().double())
    add("lru", i, {}, lru(**i))
    return table

# ---- second opinions: fla-core's naive functions, transformers, torch ---------------------------------------------------------------------

fla = importlib.util.find_spec("fla"); fla = fla and os.path.dirname(fla.origin)
sys.modules["fla"] = None                       # transformers would take its GPU kernels

def naive(path):
    s = importlib.util.spec_from_file_location(path.replace("/", "_"), f"{fla}/ops/{path}.py")
    m = importlib.util.module_from_spec(s); s.loader.exec_module(m); return m

def second_opinion(op, i, p):
    """{output: tensor} from fla-core, torch or transformers; {} where there is none."""
    s = p.get("scale", 1.0); f = {n: x.float() for n, x in i.items()}; swap = lambda x: x.transpose(1, 2)
    if op in ("attn_causal", "attn_full", "attn_sliding_window", "attn_window_bidir"):
        n = f["q"].shape[2] // f["k"].shape[2]; t = torch.arange(f["q"].shape[1]); back = t[:, None] - t
        mask = dict(attn_causal=back >= 0, attn_full=back == back, attn_sliding_window=(back >= 0) & (back < 16), attn_window_bidir=back.abs() <= 8)[op]
        return dict(o=swap(F.scaled_dot_product_attention(swap(f["q"]), swap(f["k"].repeat_interleave(n, 2)), swap(f["v"].repeat_interleave(n, 2)), attn_mask=mask)))
    if op == "causal_conv1d":
        return dict(no_act=swap(F.conv1d(swap(torch.cat([f["init"], f["x"]], 1)), f["weight"], f["bias"], groups=f["x"].shape[2])))
    if op == "linear_transformer_elu":
        q, k = F.elu(f["q"]) + 1, F.elu(f["k"]) + 1; a = torch.einsum("bihd,bjhd->bhij", q, k).tril()
        return dict(o=torch.einsum("bhij,bjhd->bihd", a / (a.sum(-1, keepdim=True) + 1e-6), f["v"]))
    if op == "rwkv4_wkv":
        from transformers.models.rwkv.modeling_rwkv import rwkv_linear_attention_cpu as wkv
        o, (num, den, top) = wkv(f["w"], f["u"], f["k"], f["v"], return_state=True); return dict(o=o, num=num, den=den, maxexp=top)
    if op == "mamba_selective_scan":
        from transformers.models.mamba.modeling_mamba import mamba_selective_scan as scan
        r = scan(swap(f["u"]), swap(f["delta"]), f["A"], swap(f["B"]), swap(f["C"]), f["D"], swap(f["z"]), f["delta_bias"], True, True)
        return dict(o=swap(r[0]), final_state=r[1])
    if op == "rg_lru":
        from transformers import RecurrentGemmaConfig; from transformers.models.recurrent_gemma.modeling_recurrent_gemma import RecurrentGemmaRglru
        m = RecurrentGemmaRglru(RecurrentGemmaConfig(hidden_size=32, lru_width=32, num_attention_heads=4)); m.load_state_dict({n: x for n, x in f.items() if n != "x"})
        return dict(o=m(f["x"], torch.arange(f["x"].shape[1])[None]).detach(), final_state=m.recurrent_states.detach())
    if fla is None: return {}
    if op == "mamba2_ssd":                       # q = C, k = B, v = dt x, state transposed
        o, S = naive("simple_gla/naive").naive_recurrent_simple_gla(f["C"], f["B"], f["dt"][..., None] * f["x"], f["dt"] * f["A"], 1.0, f["h0"].mT)
        return dict(o=o, final_state=S.mT)
    pair = lambda r: dict(o=r[0], final_state=r[1])
    if op == "linear_attn": return pair(naive("linear_attn/naive").naive_recurrent_linear_attn(f["q"], f["k"], f["v"], s, f["h0"], True))
    if op == "simple_gla": return pair(naive("simple_gla/naive").naive_recurrent_simple_gla(f["q"], f["k"], f["v"], f["g"], s, f["h0"]))
    if op == "lightning_attention":
        g = -torch.tensor(p["slopes"]).expand(*f["q"].shape[:3]); return pair(naive("simple_gla/naive").naive_recurrent_simple_gla(f["q"], f["k"], f["v"], g, 1.0))
    if op == "gla": return pair(naive("gla/naive").naive_recurrent_gla(f["q"], f["k"], f["v"], f["gk"], f["h0"], True))
    if op == "hgrn2":
        r = naive("gla/naive").naive_recurrent_gla(f["q"], 1 - f["f"], f["v"], f["f"].log(), None, True); return dict(o=r[0] * K ** 0.5, final_state=r[1])
    if op == "retention": return dict(o=swap(naive("retention/naive").naive_retention(swap(f["q"]), swap(f["k"]), swap(f["v"]))))
    if op == "hgrn": return pair(naive("hgrn/naive").naive_recurrent_hgrn(f["x"], f["g"], f["h0"], True))
    if op in ("rwkv5", "rwkv6"):
        w = f["w"].expand_as(f["q"]) if op == "rwkv5" else f["w"]
        r = naive("rwkv6/recurrent_naive").naive_recurrent_rwkv6(swap(f["q"]), swap(f["k"]), swap(f["v"]), swap(w), f["u"], 1.0, f["h0"], True); return dict(o=swap(r[0]), final_state=r[1])
    if op == "rwkv7":
        r = naive("generalized_delta_rule/dplr/naive").dplr_recurrence(*(swap(f[n]) for n in "rkvabw"), f["h0"]); return dict(o=swap(r[0]) * K ** 0.5, final_state=r[1])
    if op in ("delta_rule", "delta_rule_neg_eigval"):
        r = naive("delta_rule/naive").delta_rule_recurrence(*(swap(f[n]) for n in ("q", "k", "v", "beta")), f.get("h0")); return dict(o=swap(r[0]), final_state=r[1])
    if op == "gated_delta_rule": return pair(naive("gated_delta_rule/naive").naive_recurrent_gated_delta_rule(f["q"], f["k"], f["v"], f["beta"], f["g"], s, f["h0"], True))
    if op == "kda": return pair(naive("kda/naive").naive_recurrent_kda(f["q"], f["k"], f["v"], f["g"], f["beta"], s, f["h0"], True))
    return {}

if __name__ == "__main__":
    torch.set_num_threads(1); os.makedirs(OUT, exist_ok=True)
    for name, (i, p, o) in cases().items():
        op = name.split("@")[0]
        if sys.argv[1:] and name not in sys.argv[1:] and op not in sys.argv[1:]: continue
        other = second_opinion(op, i, p)
        off = max([float((other[n] - o[n]).norm() / o[n].norm()) for n in other] or [math.nan]); assert not off > 1e-4, (name, off)
        assert all(x.isfinite().all() for x in o.values()), name
        agrees = f"{off:.1e}" if other else "none"     # one metadata key: safetensors orders several anew every time
        note = dict(made=json.dumps(dict(seed=1, computed_in="float64", second_opinion=agrees)))
        base = os.path.join(OUT, name)
        save_file({n: x.float().contiguous().clone() for n, x in i.items()}, base + ".in.safetensors", metadata=note)
        save_file({n: x.float().contiguous().clone() for n, x in o.items()}, base + ".expected.safetensors", metadata=note)
        json.dump(p, open(base + ".params.json", "w")); open(base + ".params.json", "a").write("\n")
        big = [f for f in glob.glob(base + ".*") if os.path.getsize(f) >= 100_000]
        if big: raise SystemExit(f"{big} reach 100 kB")
        print(f"{name:28s} {sum(os.path.getsize(f) for f in glob.glob(base + '.*')):7d} bytes  {' '.join(o)}  second opinion {agrees}")
