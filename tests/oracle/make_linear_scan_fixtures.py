#!/usr/bin/env python3
"""Values and gradients of the operators with a matrix as state.

    OMP_NUM_THREADS=1 python tests/oracle/make_linear_scan_fixtures.py                    tests/fixtures/ops/NAME@grad.*
    OMP_NUM_THREADS=1 python tests/oracle/make_linear_scan_fixtures.py --check build/headrace [SEED]     fresh inputs, several sizes

float64 torch autograd through the recurrences of make_op_fixtures.py and those below; mlstm and log-linear attention are the masked sums
over all pairs, another way than the program's. Where the input holds d_OUTPUT the program gives grad.INPUT.
"""
import json, math, os, subprocess, sys, tempfile
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from make_op_fixtures import Draw, OUT, recur, ssd

unit = lambda x: F.normalize(x, dim=-1).float().double()
logs = lambda x: F.logsigmoid(x).float().double()

def product(q, k, v, g, beta, steps, scale):
    """steps delta updates a token, decay before the first, read after the last."""
    spread = lambda x, at: torch.stack([x if j == at else torch.zeros_like(x) for j in range(steps)], 2).flatten(1, 2)
    r = recur(spread(q, steps - 1), k, v, spread(g, 0), scale, beta=beta); return dict(o=r["o"][:, steps - 1 :: steps], final_state=r["final_state"])

def mlstm(q, k, v, i, f, scale, eps):
    G = F.logsigmoid(f).cumsum(1); T = q.shape[1]                                               # [B,T,H]
    D = (G[:, :, None] - G[:, None] + i[:, None]).masked_fill(torch.ones(T, T).triu(1).bool()[..., None], -math.inf)   # [B,i,j,H]
    m = torch.maximum(D.amax(2), G).detach()                                                    # with m_0 = 0
    A = torch.einsum("bihd,bjhd->bijh", q, k) * scale * torch.exp(D - m[:, :, None])
    o = torch.einsum("bijh,bjhv->bihv", A, v) / (torch.maximum(A.sum(2).abs(), torch.exp(-m)) + eps)[..., None]
    last = torch.exp(D[:, -1] - m[:, -1:])                                                      # [B,j,H]
    return dict(o=o, c=torch.einsum("bjh,bjhk,bjhv->bhkv", last, k, v), n=torch.einsum("bjh,bjhk->bhk", last, k), m=m[:, -1, :, None])

def log_linear(q, k, v, g, level_scales, scale, beta=None):
    T = q.shape[1]; at = torch.arange(T); level = torch.tensor([[(a ^ b).bit_length() for b in range(T)] for a in range(T)])
    G = g.cumsum(1); A = torch.zeros(*q.shape[:1], T, T, q.shape[2]).double()
    if beta is None:
        A = torch.einsum("bihd,bjhd->bijh", q, k)
        A = A * torch.exp((G[:, :, None] - G[:, None]).masked_fill((at[:, None] < at)[..., None], -math.inf))
    else:                                                                                       # what each token's write is worth later
        for j in range(T):
            x = beta[:, j, :, None] * k[:, j]
            for i in range(j, T):
                if i > j: x = g[:, i, :, None].exp() * x; x = x - beta[:, i, :, None] * k[:, i] * (k[:, i] * x).sum(-1, keepdim=True)
                row = (q[:, i] * x).sum(-1); E = torch.zeros(T, T).double(); E[i, j] = 1; A = A + E[None, :, :, None] * row[:, None, None]
    lam = torch.gather(level_scales, 3, level.tril().expand(q.shape[0], q.shape[2], T, T).permute(0, 2, 1, 3)).permute(0, 1, 3, 2)   # [B,i,j,H]
    return dict(o=scale * torch.einsum("bijh,bjhv->bihv", A * lam * (at[:, None] >= at)[None, ..., None], v))

def operators(d, B, T, H, K, V):
    """name -> inputs, params, f(inputs)."""
    n = lambda *s, **o: d.normal(B, T, H, *s, **o)
    qkv = lambda: dict(q=n(K), k=n(K), v=n(V))
    h0 = lambda: dict(h0=d.normal(B, H, K, V, sd=0.5))
    keys = lambda t=T, b=1.0: dict(q=unit(n(K)), k=unit(d.normal(B, t, H, K)), v=d.normal(B, t, H, V), beta=d.uniform(B, t, H, a=0.05, b=b))
    s = K ** -0.5; p = dict(scale=s)
    plain = lambda decay=None, scale=s, **o: lambda i: recur(i["q"], i["k"], i["v"], decay and i[decay], scale, i.get("h0"), i.get("beta"), **o)
    gamma = torch.log1p(-(2.0 ** (-5 - torch.arange(H).double()))); slopes = [2.0 ** (-8 * (h + 1) / H) for h in range(H)]
    hat = unit(n(K)); L = max(1, math.ceil(math.log2(T)) + 1)
    elu = lambda i: (lambda o: dict(o=o[..., :-1] / (o[..., -1:] + 1e-6)))(recur(F.elu(i["q"]) + 1, F.elu(i["k"]) + 1, torch.cat([i["v"], torch.ones_like(i["v"][..., :1])], -1))["o"])
    levels = lambda: dict(g=logs(n()), level_scales=F.softplus(n(L)).float().double())
    return {
        "linear_attn": ({**qkv(), **h0()}, p, plain()),
        "linear_transformer_elu": (qkv(), dict(eps=1e-6), elu),
        "simple_gla": ({**qkv(), "g": logs(n()), **h0()}, p, plain("g")),
        "gla": ({**qkv(), "gk": (logs(n(K)) / 16).float().double(), **h0()}, p, plain("gk")),
        "gla@strong": ({**qkv(), "gk": d.uniform(B, T, H, K, a=-30, b=0), **h0()}, p, plain("gk")),
        "retention": (qkv(), {}, lambda i: dict(o=recur(i["q"], i["k"], i["v"], gamma.expand(B, T, H), s)["o"])),
        "lightning_attention": (qkv(), dict(slopes=slopes, scale=1.0), lambda i: recur(i["q"], i["k"], i["v"], -torch.tensor(slopes).double().expand(B, T, H))),
        "hgrn2": (dict(q=n(K), f=torch.sigmoid(n(K, mean=1.0)).float().double(), v=n(V)), dict(scale=1.0), lambda i: recur(i["q"], 1 - i["f"], i["v"], i["f"].log())),
        "rwkv5": ({**qkv(), "w": (-torch.exp(d.uniform(H, K, a=-5, b=1))).float().double(), "u": d.normal(H, K, sd=0.5), **h0()}, dict(scale=1.0),
                  lambda i: recur(i["q"], i["k"], i["v"], i["w"].expand(B, T, H, K), 1.0, i["h0"], u=i["u"])),
        "rwkv6": ({**qkv(), "w": (-torch.exp(d.uniform(B, T, H, K, a=-5, b=1))).float().double(), "u": d.normal(H, K, sd=0.5), **h0()}, dict(scale=1.0),
                  lambda i: recur(i["q"], i["k"], i["v"], i["w"], 1.0, i["h0"], u=i["u"])),
        "rwkv7": (dict(r=n(K), w=(-math.exp(-0.5) * torch.sigmoid(n(K, sd=2.0))).float().double(), k=n(K), v=n(V), a=-hat,
                       b=(hat * d.uniform(B, T, H, K)).float().double(), **h0()), dict(scale=1.0),
                  lambda i: recur(i["r"], i["k"], i["v"], i["w"], 1.0, i["h0"], a=i["a"], b=i["b"])),
        "delta_rule": ({**keys(), **h0()}, p, plain()),
        "delta_rule_neg_eigval": (keys(b=2.0), dict(scale=s, allow_neg_eigval=True), plain()),
        "gated_delta_rule": ({**keys(), "g": logs(n()), **h0()}, p, plain("g")),
        "kda": ({**keys(), "g": logs(n(K)), **h0()}, p, plain("g")),
        "gated_delta_product": ({**keys(2 * T), "g": logs(n())}, dict(num_householder=2, scale=s), lambda i: product(**i, steps=2, scale=s)),
        "mamba2_ssd": (dict(x=n(V), dt=F.softplus(n(mean=-1.0)).float().double(), A=-d.uniform(H, a=0.2, b=2.0), B=n(K), C=n(K), h0=d.normal(B, H, V, K, sd=0.5)),
                       dict(chunk=32), lambda i: ssd(**i)),
        "mlstm": ({**qkv(), "i": n(sd=2.0), "f": n(mean=2.0)}, dict(eps=1e-6), lambda i: mlstm(**i, scale=s, eps=1e-6)),
        "log_linear_attn": ({**qkv(), **levels()}, dict(scale=1.0, levels=L), lambda i: log_linear(**i, scale=1.0)),
        **({"log_linear_attn@delta": ({**keys(), **levels()}, dict(scale=1.0, levels=L), lambda i: log_linear(**i, scale=1.0))} if T < 70 else {}),
    }

def with_gradients(d, i, f):
    """Inputs with d_OUTPUT for the differentiable outputs; all outputs and grad.INPUT."""
    x = {n: t.clone().requires_grad_() for n, t in i.items()}; out = f(x)
    dy = {n: d.normal(*o.shape) for n, o in out.items() if o.requires_grad}
    g = torch.autograd.grad(sum((out[n] * dy[n]).sum() for n in dy), list(x.values()), allow_unused=True)
    grads = {"grad." + n: torch.zeros_like(t) if e is None else e for (n, t), e in zip(x.items(), g)}
    return {**i, **{"d_" + n: t for n, t in dy.items()}}, {**{n: o.detach() for n, o in out.items()}, **grads}

file = lambda tensors: {n: t.detach().float().contiguous().clone() for n, t in tensors.items()}

def check(program, seed, operators=operators):
    worst = 0
    for B, T, H, K, V in ((2, 1, 2, 16, 20), (1, 67, 3, 7, 13), (2, 67, 2, 16, 20), (1, 130, 2, 16, 20), (1, 200, 1, 33, 9)):
        for name, (i, p, f) in operators(Draw(seed + T), B, T, H, K, V).items():
            given, want = with_gradients(Draw(seed), i, f)
            with tempfile.TemporaryDirectory() as t:
                save_file(file(given), t + "/in.safetensors"); json.dump(p, open(t + "/p.json", "w"))
                for form in ("whole", "chunk"):
                    subprocess.run([program, "op", name.split("@")[0], "--in", t + "/in.safetensors", "--params", t + "/p.json", "--out", t + "/out.safetensors", "--form", form], check=True)
                    got = load_file(t + "/out.safetensors")
                    assert set(got) == set(want), (name, set(got) ^ set(want))
                    off = {n: float((got[n].double() - w).norm() / max(w.norm(), 1e-2)) for n, w in want.items()}
                    bad = {n: f"{e:.1e}" for n, e in off.items() if not e < 1e-4}; worst = max(worst, *off.values())
                    if bad: print(name, T, form, bad)
    print(f"worst relative error {worst:.1e}")

if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--check"]: check(sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else 1); sys.exit()
    d = Draw(5)
    for name, (i, p, f) in operators(d, 1, 37, 2, 5, 7).items():
        given, want = with_gradients(d, i, f); base = os.path.join(OUT, name + ("_grad" if "@" in name else "@grad"))
        note = dict(made=json.dumps(dict(seed=5, computed_in="float64")))
        save_file(file(given), base + ".in.safetensors", metadata=note); save_file(file(want), base + ".expected.safetensors", metadata=note)
        open(base + ".params.json", "w").write(json.dumps(p) + "\n")
        print(f"{name:28s} {os.path.getsize(base + '.in.safetensors'):7d} {os.path.getsize(base + '.expected.safetensors'):7d}")
