#!/usr/bin/env python3
"""Tiny RWKV-4, 5.2, 6 and 7 models under the official names (blocks.0.att...), as .pth and .safetensors.

    OMP_NUM_THREADS=1 python tests/oracle/make_rwkv_fixtures.py [rwkv4_pth rwkv5 rwkv6 rwkv7]

The logits are those of the plain recurrences below in float64 on the stored (BF16 or F16) values. Each is checked
against the PyPI package rwkv 0.8.32 (strategy "cpu fp32", on the same values in float32), which runs in a child process.
expected.safetensors is as make_model_fixtures.py says. There is no config.json: sizes follow from the tensors' shapes
(heads and head size from att.time_decay or time_faaaa [H,N] in 5.2 and 6, att.r_k [H,N] in 7).
"""
import os, subprocess, sys, tempfile
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from make_model_fixtures import OUT, SEED, V, expected, write

D, L, H = 32, 2, 2
N = D // H
NAMES = dict(rwkv4_pth=4, rwkv5=5, rwkv6=6, rwkv7=7)

def weights(version, seed, ffn=64):
    g = torch.Generator().manual_seed(seed); w = {}
    normal = lambda *s, sd=1.0, mean=0.0: mean + sd * torch.randn(s, generator=g)
    uniform = lambda *s, a=0.0, b=1.0: a + (b - a) * torch.rand(s, generator=g)
    matrix = lambda out, inn, gain=1.0: normal(out, inn, sd=gain * inn ** -0.5)
    def norm(name): w[name + ".weight"], w[name + ".bias"] = normal(D, sd=0.2, mean=1.0), normal(D, sd=0.1)
    w["emb.weight"] = normal(V, D)
    norm("blocks.0.ln0")
    for i in range(L):
        b, a, f = f"blocks.{i}.", f"blocks.{i}.att.", f"blocks.{i}.ffn."
        norm(b + "ln1"); norm(b + "ln2")
        for m in ("receptance", "key", "value", "output") + (("gate",) if version in (5, 6) else ()): w[a + m + ".weight"] = matrix(D, D)
        if version > 4: norm(a + "ln_x")
        if version < 6:
            for m in "kvr" + ("g" if version == 5 else ""): w[a + "time_mix_" + m] = uniform(1, 1, D)
            for m in "kr": w[f + "time_mix_" + m] = uniform(1, 1, D)
        if version == 4: w[a + "time_decay"], w[a + "time_first"] = uniform(D, a=-5, b=1), normal(D, sd=0.5)
        if version == 5: w[a + "time_decay"], w[a + "time_faaaa"] = uniform(H, N, a=-5, b=1), normal(H, N, sd=0.5)
        if version == 6:
            for m in "xwkvrg": w[a + "time_maa_" + m] = uniform(1, 1, D)
            for m in "kr": w[f + "time_maa_" + m] = uniform(1, 1, D)
            w[a + "time_maa_w1"], w[a + "time_maa_w2"] = normal(D, 5 * 8, sd=D ** -0.5), normal(5, 8, D, sd=0.1)
            w[a + "time_decay"], w[a + "time_faaaa"] = uniform(1, 1, D, a=-5, b=0.5), normal(H, N, sd=0.5)
            w[a + "time_decay_w1"], w[a + "time_decay_w2"] = normal(D, 8, sd=D ** -0.5), normal(8, D, sd=0.3)
        if version == 7:
            for m in "rwkvag": w[a + "x_" + m] = uniform(1, 1, D)
            for m, rank, mean in (("w", 8, -1.0), ("a", 6, 0.0), ("v", 4, 0.5), ("g", 12, 0.0)):
                if m == "v" and i == 0: continue
                if m != "g": w[a + m + "0"] = normal(1, 1, D, mean=mean)
                w[a + m + "1"], w[a + m + "2"] = normal(D, rank, sd=D ** -0.5), normal(rank, D, sd=rank ** -0.5)
            w[a + "k_k"], w[a + "k_a"], w[a + "r_k"] = normal(1, 1, D, sd=0.2, mean=0.7), normal(1, 1, D, sd=0.2, mean=1.0), normal(H, N, sd=0.3)
            w[f + "x_k"] = uniform(1, 1, D)
        else: w[f + "receptance.weight"] = matrix(D, D)
        w[f + "key.weight"], w[f + "value.weight"] = matrix(ffn, D), matrix(D, ffn)
    norm("ln_out"); w["head.weight"] = matrix(V, D, 2.5)
    return w

def forward(version, w, tokens):
    """tokens [T] -> logits [T,V]; everything in the dtype of w."""
    ln = lambda x, n: F.layer_norm(x, (D,), w[n + ".weight"], w[n + ".bias"], 1e-5)
    before = lambda x: torch.cat([torch.zeros_like(x[:1]), x[:-1]])
    heads = lambda x: x.view(-1, H, N)
    x = ln(w["emb.weight"][tokens], "blocks.0.ln0"); first = None
    for i in range(L):
        a = {k.split("att.")[1]: t.squeeze() for k, t in w.items() if k.startswith(f"blocks.{i}.att.")}
        f = {k.split("ffn.")[1]: t.squeeze() for k, t in w.items() if k.startswith(f"blocks.{i}.ffn.")}
        y = ln(x, f"blocks.{i}.ln1"); p = before(y); T = len(y)
        mixed = lambda m: y * m + p * (1 - m)
        lerp = lambda m: y + (p - y) * m
        to = lambda name, z: z @ a[name + ".weight"].T
        if version == 4:
            r, k, v = (to(n, mixed(a["time_mix_" + n[0]])) for n in ("receptance", "key", "value"))
            decay, u, out = -torch.exp(a["time_decay"]), a["time_first"], []
            num = den = torch.zeros(D, dtype=x.dtype); top = torch.full((D,), -1e38, dtype=x.dtype)
            for t in range(T):
                q = torch.maximum(top, u + k[t]); e, c = torch.exp(top - q), torch.exp(u + k[t] - q)
                out.append((e * num + c * v[t]) / (e * den + c))
                q = torch.maximum(top + decay, k[t]); e, c = torch.exp(top + decay - q), torch.exp(k[t] - q)
                num, den, top = e * num + c * v[t], e * den + c, q
            o = torch.sigmoid(r) * torch.stack(out)
        elif version in (5, 6):
            if version == 5:
                r, k, v, gate = (to(n, mixed(a["time_mix_" + n[0]])) for n in ("receptance", "key", "value", "gate"))
                decay = torch.exp(-torch.exp(a["time_decay"])).expand(T, H, N)
            else:
                low = torch.tanh(lerp(a["time_maa_x"]) @ a["time_maa_w1"]).view(T, 5, -1)
                m = {c: a["time_maa_" + c] + low[:, j] @ a["time_maa_w2"][j] for j, c in enumerate("wkvrg")}
                r, k, v, gate = (to(n, lerp(m[n[0]])) for n in ("receptance", "key", "value", "gate"))
                decay = torch.exp(-torch.exp(heads(a["time_decay"] + torch.tanh(lerp(m["w"]) @ a["time_decay_w1"]) @ a["time_decay_w2"])))
            r, k, v, u, out = heads(r), heads(k), heads(v), a["time_faaaa"], []
            S = torch.zeros(H, N, N, dtype=x.dtype)                                   # [H,K,V]
            for t in range(T):
                kv = k[t, :, :, None] * v[t, :, None, :]
                out.append(torch.einsum("hk,hkv->hv", r[t], S + u[..., None] * kv)); S = decay[t, ..., None] * S + kv
            o = F.group_norm(torch.stack(out).reshape(T, D), H, a["ln_x.weight"], a["ln_x.bias"], 64e-5) * F.silu(gate)
        else:
            xr, xw, xk, xv, xa, xg = (lerp(a["x_" + c]) for c in "rwkvag")
            r, k, v = to("receptance", xr), to("key", xk), to("value", xv)
            log_decay = -torch.exp(torch.tensor(-0.5, dtype=x.dtype)) * torch.sigmoid(a["w0"] + torch.tanh(xw @ a["w1"]) @ a["w2"])
            if i == 0: first = v
            else: v = v + (first - v) * torch.sigmoid(a["v0"] + xv @ a["v1"] @ a["v2"])
            rate, gate = torch.sigmoid(a["a0"] + xa @ a["a1"] @ a["a2"]), torch.sigmoid(xg @ a["g1"]) @ a["g2"]
            removal = F.normalize(heads(k * a["k_k"]), dim=-1); k = k * (1 + (rate - 1) * a["k_a"])
            r, k, v, rate, decay, out = heads(r), heads(k), heads(v), heads(rate), torch.exp(heads(log_decay)), []
            S = torch.zeros(H, N, N, dtype=x.dtype)
            for t in range(T):
                read = torch.einsum("hk,hkv->hv", -removal[t], S)                     # of the state before decay
                S = decay[t, ..., None] * S + (removal[t] * rate[t])[..., None] * read[:, None] + k[t, ..., None] * v[t, :, None]
                out.append(torch.einsum("hk,hkv->hv", r[t], S))
            o = F.group_norm(torch.stack(out).reshape(T, D), H, a["ln_x.weight"], a["ln_x.bias"], 64e-5)
            o = (o + ((r * k * a["r_k"]).sum(-1, keepdim=True) * v).reshape(T, D)) * gate
        x = x + to("output", o)
        y = ln(x, f"blocks.{i}.ln2"); p = before(y)
        if version == 7: x = x + torch.relu(lerp(f["x_k"]) @ f["key.weight"].T) ** 2 @ f["value.weight"].T
        else:
            mk, mr = (mixed(f["time_mix_" + c]) if version < 6 else lerp(f["time_maa_" + c]) for c in "kr")
            x = x + torch.sigmoid(mr @ f["receptance.weight"].T) * (torch.relu(mk @ f["key.weight"].T) ** 2 @ f["value.weight"].T)
    return ln(x, "ln_out") @ w["head.weight"].T

package = """import sys, torch
from rwkv.model import RWKV
m = RWKV(model=sys.argv[1], strategy='cpu fp32'); o, _ = m.forward(torch.load(sys.argv[2]).tolist(), None, full_output=True); torch.save(o, sys.argv[3])"""

def by_package(version, w, tokens):
    with tempfile.TemporaryDirectory() as d:
        torch.save({k: v.float() for k, v in w.items()}, d + "/m.pth"); torch.save(tokens, d + "/t")
        env = {**os.environ, "RWKV_JIT_ON": "0", "RWKV_CUDA_ON": "0", **({"RWKV_V7_ON": "1"} if version == 7 else {})}
        subprocess.run([sys.executable, "-c", package, d + "/m" + (".pth" if version < 7 else ""), d + "/t", d + "/o"], check=True, env=env, stdout=subprocess.DEVNULL)
        return torch.load(d + "/o")

@torch.no_grad()
def make(name):
    version = NAMES[name]; seed = SEED * 1000 + version
    w = {k: t.to(torch.float16 if version == 7 else torch.bfloat16) for k, t in weights(version, seed).items()}
    exact = {k: t.double() for k, t in w.items()}
    out, margin = expected(lambda t: forward(version, exact, t[0])[None].float(), seed + 1)
    d = os.path.join(OUT, name); os.makedirs(d, exist_ok=True)
    torch.save(w, os.path.join(d, "model.pth"))
    if name != "rwkv4_pth": save_file(w, os.path.join(d, "model.safetensors"))
    theirs = by_package(version, w, out["input_ids"][0]); off = float((theirs - out["logits"][0]).norm() / out["logits"].norm())
    assert off < 1e-5, off
    write(d, out, computed_by="own float64 recurrence", checked_against=f"rwkv 0.8.32 cpu fp32, relative difference {off:.1e}", command=f"tests/oracle/make_rwkv_fixtures.py {name}")
    print(f"{name:12s} {sum(t.numel() for t in w.values()):6d} parameters  logits std {float(out['logits'].std()):.2f}  margin {margin:.1e}  package {off:.1e}", flush=True)

if __name__ == "__main__":
    torch.set_num_threads(1)
    for n in sys.argv[1:] or NAMES: make(n)
