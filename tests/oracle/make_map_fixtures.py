#!/usr/bin/env python3
"""Values and gradients of linear attention by feature maps, attention-free weights, Linformer, DSLA and the retention layer.

    OMP_NUM_THREADS=1 python tests/oracle/make_map_fixtures.py                    tests/fixtures/ops/NAME@67, @1, @130
    OMP_NUM_THREADS=1 python tests/oracle/make_map_fixtures.py --check build/headrace [SEED]     fresh inputs, several sizes
    OMP_NUM_THREADS=1 python tests/oracle/make_map_fixtures.py --packages         these formulas against the packages that are installed

float64 torch autograd through sums over all pairs of tokens, another way than the program's. Packages: performer-pytorch 1.1.4,
linear-attention-transformer 0.19.1, linformer 0.2.3, aft-pytorch 0.2.2, fla-core 0.6.0's naive functions.
"""
import json, math, os, sys
import torch
import torch.nn.functional as F
from make_op_fixtures import Draw, OUT, naive, recur
from make_linear_scan_fixtures import check, file, with_gradients
from safetensors.torch import save_file

def scores(q, k): return torch.einsum("bihd,bjhd->bhij", q, k)
def read(a, v, eps=0.0, causal=True):
    """Means of v with the weights a [B,H,i,j]."""
    if causal: a = a.tril()
    return torch.einsum("bhij,bjhv->bihv", a / (a.sum(-1, keepdim=True) + eps), v)

def based(q, k, v): s = scores(q, k) * q.shape[-1] ** -0.5; return dict(o=read(1 + s + s * s / 2, v, 1e-6))

def hedgehog(q, k, v, wq, wk):
    phi = lambda x, w: (lambda y: torch.cat([y.softmax(-1), (-y).softmax(-1)], -1).clamp(min=1e-12))(torch.einsum("fd,bthd->bthf", w, x))
    a, b = phi(q, wq), phi(k, wk); return dict(o=read(scores(a, b), v), phi_q=a, phi_k=b)

def favor(q, k, v, proj, eps=1e-4):
    def phi(x, over):
        x = x * x.shape[-1] ** -0.25; p = torch.einsum("bthd,md->bthm", x, proj)
        return proj.shape[0] ** -0.5 * (torch.exp(p - (x * x).sum(-1, keepdim=True) / 2 - p.amax(over, keepdim=True).detach()) + eps)
    a, b = phi(q, -1), phi(k, (1, 3)); s = scores(a, b); return dict(o=read(s, v, causal=False), o_causal=read(s, v), phi_q=a, phi_k=b)

def relu(q, k, v, proj):
    phi = lambda x: F.relu(torch.einsum("bthd,md->bthm", x * x.shape[-1] ** -0.25, proj)) + 1e-3
    s = scores(phi(q), phi(k)); return dict(o=read(s, v, causal=False), o_causal=read(s, v))

def efficient(q, k, v):
    y = torch.einsum("bihd,bjhd,bjhv->bihv", q.softmax(-1), k.softmax(1), v); return dict(o=y * q.shape[-1] ** -0.5, paper=y)

def regla(q, k, v, g, rg):
    phi = lambda x: torch.exp(x - x.amax(-1, keepdim=True)); gate = (1 - rg) * g**2 + rg * (1 - (1 - g) ** 2)
    return dict(**recur(phi(q), phi(k), v, gate.log()), gate=gate)

def gsa(q, k, v, g, s):
    G = g.cumsum(1); decay = torch.exp((G[:, :, None] - G[:, None]).masked_fill((torch.arange(q.shape[1])[:, None] < torch.arange(q.shape[1]))[..., None, None], -math.inf))
    p = torch.einsum("bhij,bijhm,bjhm->bihm", scores(q, k) * q.shape[-1] ** -0.5, decay, s).softmax(-1)
    return dict(o=torch.einsum("bihm,bijhm,bjhm,bjhv->bihv", p, decay, s, v))

def aft(q, k, v, w, near):
    T = q.shape[1]; at = torch.arange(T); back = at[:, None] - at; every = torch.ones(T, T).bool()
    def y(w, mask): return torch.sigmoid(q) * ((k[:, None] + w[None, :, :, None]).masked_fill(~mask[None, :, :, None], -math.inf).softmax(2) * v[:, None]).sum(2)
    return dict(o=y(w, back >= 0), full=y(w, every), simple=y(0 * w, every), local_causal=y(w.masked_fill(back.abs() >= near, 0.0), back >= 0))

def split(x, heads): return x.unflatten(-1, (heads, -1))
def dsla(i, heads):
    q, k, v = (split(i["x"] @ i[f"{n}_proj_weight"].T, heads) for n in "qkv"); out, alpha = {}, i["alpha_list"].softmax(0); o = 0
    for m, (gate, state) in enumerate((("gk_proj", "state_far"), ("gk_proj2", "state_near"))):
        g = split((F.logsigmoid(i["x"] @ i[gate + "_weight"].T + i[gate + "_bias"]) / 16).clamp(min=-50), heads)
        r = recur(q, k, v, g, q.shape[-1] ** -0.5); out[state] = r["final_state"]; o = o + alpha[m] * r["o"]
    return dict(o=o.flatten(2) @ i["o_proj_weight"].T, **out)

def retention_layer(i, heads, eps):
    """torchscale's MultiScaleRetention, parallel form, with RetNetRelPos."""
    x = i["x"]; q, k, v = (split(x @ i[f"{n}_proj_weight"].T, heads) for n in "qkv"); K, T = q.shape[-1], x.shape[1]
    angle = (1 / 10000 ** torch.linspace(0, 1, K // 2).double()).repeat_interleave(2); at = torch.arange(T).double()
    sin, cos = (f(at[:, None] * angle)[None, :, None] for f in (torch.sin, torch.cos))
    turn = lambda z: z * cos + torch.stack([-z[..., 1::2], z[..., ::2]], -1).flatten(-2) * sin
    log = torch.log1p(-(2.0 ** (-5 - torch.arange(heads).double()))); mask = torch.exp((at[:, None] - at) * log[:, None, None]).tril()
    a = scores(turn(q), turn(k * K**-0.5)) * (mask / mask.sum(-1, keepdim=True).sqrt())
    y = torch.einsum("bhij,bjhv->bihv", a / a.detach().abs().sum(-1, keepdim=True).clamp(min=1, max=5e4), v)
    y = y * torch.rsqrt((y * y).mean(-1, keepdim=True) + eps)
    return dict(o=(F.silu(x @ i["g_proj_weight"].T) * y.flatten(2)) @ i["out_proj_weight"].T)

def linformer(i, heads):
    x = i["x"]; T = x.shape[1]; q, k, v = (x @ i[f"to_{n}_weight"].T for n in "qkv"); k, v = (torch.einsum("tm,btd->bmd", i["proj_" + n][:T], z) for n, z in (("k", k), ("v", v)))
    q, k, v = (split(z, heads) for z in (q, k, v)); a = (scores(q, k) * q.shape[-1] ** -0.5).softmax(-1)
    return dict(o=torch.einsum("bhim,bmhv->bihv", a, v).flatten(2) @ i["to_out_weight"].T + i["to_out_bias"])

def operators(d, B, T, H, K, V):
    n = lambda *s, **o: d.normal(B, T, H, *s, **o); qkv = lambda v=V: dict(q=n(K), k=n(K), v=n(v)); C, D, M = 2 * K + 1 if T < 100 else 3, H * K, K + K // 2
    rows = lambda *s: d.normal(*s, sd=s[-1] ** -0.5); x = lambda: dict(x=d.normal(B, T, D)); E = K + K % 2
    gates = dict(g=torch.sigmoid(n(K, mean=1.0)).float().double(), rg=torch.sigmoid(n(K)).float().double())
    layer = {f"{p}_proj_weight": rows(s * H * E, H * E) for p, s in zip("qkvg", (1, 1, 2, 2))}
    return {
        "based": (qkv(), {}, lambda i: based(**i)),
        "hedgehog": ({**qkv(), "wq": d.normal(K, K, sd=0.4), "wk": d.normal(K, K, sd=0.4)}, {}, lambda i: hedgehog(**i)),
        "performer_favor": ({**qkv(), "proj": d.normal(M, K)}, dict(eps=1e-4), lambda i: favor(**i)),
        "performer_relu": ({**qkv(), "proj": d.normal(M, K)}, dict(kernel="relu", kernel_epsilon=1e-3), lambda i: relu(**i)),
        "efficient_attention": (qkv(K), {}, lambda i: efficient(**i)),
        "regla_core": ({**qkv(), **gates}, {}, lambda i: regla(**i)),
        "gsa": ({**qkv(), "g": (F.logsigmoid(n(5)) / 4).float().double(), "s": n(5, sd=0.5)}, dict(slots=5), lambda i: gsa(**i)),
        "aft": (dict(q=d.normal(B, T, C), k=d.normal(B, T, C), v=d.normal(B, T, C), w=d.normal(T, T)), dict(local_window=16), lambda i: aft(**i, near=16)),
        "aft@far": (dict(q=d.normal(B, T, 3), k=d.normal(B, T, 3, sd=40.0), v=d.normal(B, T, 3), w=d.normal(T, T, sd=20.0)), dict(local_window=5), lambda i: aft(**i, near=5)),
        "dsla": ({**x(), **{f"{p}_proj_weight": rows(D, D) for p in "qkvo"}, "gk_proj_weight": torch.eye(D).double(), "gk_proj2_weight": rows(D, D),
                  "gk_proj_bias": d.normal(D), "gk_proj2_bias": d.normal(D), "alpha_list": d.uniform(2)}, dict(heads=H, gate_logit_normalizer=16, clamp_min=-50), lambda i: dsla(i, H)),
        "retention_layer": (dict(x=d.normal(B, T, H * E), **layer, out_proj_weight=rows(H * E, 2 * H * E)), dict(heads=H, eps=1e-6), lambda i: retention_layer(i, H, 1e-6)),
        "linformer": ({**x(), "proj_k": d.uniform(T + 3, 6, a=-0.4, b=0.4), "proj_v": d.uniform(T + 3, 6, a=-0.4, b=0.4), **{f"to_{p}_weight": rows(D, D) for p in "qkv"},
                       "to_out_weight": rows(D, D), "to_out_bias": d.normal(D)}, dict(heads=H, k=6, seq_len=T + 3), lambda i: linformer(i, H)),
    }

def packages():
    """The largest difference between the formulas and each package, relative to the norm."""
    off = lambda a, b: float((a - b).norm() / b.norm()); d = Draw(3); B, T, H, K, V = 2, 67, 2, 16, 20; ops = operators(d, B, T, H, K, V); swap = lambda x: x.transpose(1, 2)
    import types; sys.modules["local_attention"] = types.SimpleNamespace(LocalAttention=None)   # not needed here, and needs more packages
    from performer_pytorch.performer_pytorch import generalized_kernel, linear_attention, softmax_kernel
    i, _, f = ops["performer_favor"]; a, b = (softmax_kernel(swap(i[n]), projection_matrix=i["proj"], is_query=n == "q") for n in "qk")
    print("performer_favor", off(f(i)["o"], swap(linear_attention(a, b, swap(i["v"])))), off(f(i)["phi_k"], swap(b)))
    i, _, f = ops["performer_relu"]; a, b = (generalized_kernel(swap(i[n]), projection_matrix=i["proj"]) for n in "qk"); print("performer_relu", off(f(i)["o"], swap(linear_attention(a, b, swap(i["v"])))))
    from linformer.linformer import LinformerSelfAttention
    i, p, f = ops["linformer"]; m = LinformerSelfAttention(H * K, T + 3, k=6, heads=H).double(); m.load_state_dict({n.replace("_weight", ".weight").replace("_bias", ".bias"): x for n, x in i.items() if n != "x"})
    print("linformer", off(f(i)["o"], m(i["x"]).detach()))
    from aft_pytorch.aft_pytorch import AFTFull
    i, _, f = ops["aft"]; C = i["q"].shape[-1]; m = AFTFull(T, 3 * C, C).double(); m.wbias.data = i["w"]; pick = lambda j: torch.eye(3 * C).double()[j * C : (j + 1) * C]
    for j, l in enumerate((m.to_q, m.to_k, m.to_v)): l.weight.data = pick(j); l.bias.data.zero_()
    m.project.weight.data = torch.eye(3 * C, C).double(); m.project.bias.data.zero_(); print("aft full", off(f(i)["full"], m(torch.cat([i["q"], i["k"], i["v"]], -1)).detach()[..., :C]))
    i, _, f = ops["gsa"]; print("gsa", off(f(i)["o"], naive("gsa/naive").naive_recurrent_gsa(i["q"], i["k"], i["v"], i["s"], i["g"])[0]))
    i, _, f = ops["based"]; print("based", off(f(i)["o"], swap(naive("based/naive").naive_parallel_based(*(swap(i[n]) for n in "qkv")))))

if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--packages"]: packages(); sys.exit()
    if sys.argv[1:2] == ["--check"]: check(sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else 1, operators); sys.exit()
    for T in (67, 1, 130):
        d = Draw(7 + T); few = 1 if T > 100 else 2
        for name, (i, p, f) in operators(d, few, T, 2, 4, 6).items():
            if "@" in name and T != 67: continue
            # Of one token the gradients of a mean are what rounding leaves of nothing.
            given, want = with_gradients(d, i, f) if T > 1 else (i, f(i)); base = os.path.join(OUT, name if "@" in name else f"{name}@{T}")
            note = dict(made=json.dumps(dict(seed=7 + T, computed_in="float64")))
            save_file(file(given), base + ".in.safetensors", metadata=note); save_file(file(want), base + ".expected.safetensors", metadata=note)
            open(base + ".params.json", "w").write(json.dumps(p) + "\n")
            print(f"{base.split('/')[-1]:28s} {os.path.getsize(base + '.in.safetensors'):7d} {os.path.getsize(base + '.expected.safetensors'):7d}")
