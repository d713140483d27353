#!/usr/bin/env python3
"""Values and gradients of the operators of Titans and of Hymba's block.

    pip install titans-pytorch==0.5.5                                                     (and what it imports: oracle/ORACLES.md)
    OMP_NUM_THREADS=1 python tests/oracle/make_memory_fixtures.py                         tests/fixtures/ops/NAME@CASE.*
    OMP_NUM_THREADS=1 python tests/oracle/make_memory_fixtures.py --check build/headrace [SEED]     fresh inputs, several sizes

float64 torch autograd: the recurrence for the linear memory, titans-pytorch's NeuralMemory, with a clip (ours) its recurrence in plain torch,
NVlabs/hymba's barebones block restated in plain torch. Where the input holds d_OUTPUT the program gives grad.INPUT.
"""
import json, os, subprocess, sys, tempfile
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from make_op_fixtures import Draw, OUT
from make_linear_scan_fixtures import file, unit, with_gradients

clipped = lambda g, clip: g * clip * (clip * clip + g.pow(2).sum((-2, -1), keepdim=True)) ** -0.5 if clip else g

def linear_memory(q, k, v, theta, eta, alpha, clip=0):
    B, T, H, K = q.shape; M = torch.zeros(B, H, K, v.shape[-1]).double(); S = M; o = []
    for t in range(T):
        e = torch.einsum("bhk,bhkv->bhv", k[:, t], M) - v[:, t]
        S = eta[:, t, :, None, None] * S - theta[:, t, :, None, None] * clipped(k[:, t, :, :, None] * e[:, :, None], clip)
        M = (1 - alpha[:, t, :, None, None]) * M + S
        o.append(torch.einsum("bhk,bhkv->bhv", q[:, t], M))
    return dict(o=torch.stack(o, 1), final_state=M, final_momentum=S)

def neural(d, B, T, dim, expansion=4, **p):
    from titans_pytorch import NeuralMemory
    heads, dim_head = p.get("heads", 1), p.get("dim_head")
    m = NeuralMemory(dim, chunk_size=p.get("chunk_size", 1), batch_size=p.get("batch_size"), heads=heads, dim_head=dim_head, qk_rmsnorm=p.get("qk_rmsnorm", False),
                     default_step_transform_max_lr=p.get("max_lr", 1.0), default_model_kwargs=dict(depth=2, expansion_factor=float(expansion))).double()
    i = {}
    for name, w in m.named_parameters():
        # Not near 0, nor forgotten: there the norm makes of every rounding a large difference.
        if "parameters" in name and w.ndim == 3: i[name.replace(".", "_")] = d.normal(*w.shape, sd=1.5 * w.shape[-2] ** -0.5); continue
        if "decay_factor.0.bias" in name: i[name.replace(".", "_")] = d.normal(*w.shape, mean=-4.0, sd=0.3); continue
        x = d.normal(*w.shape, sd=0.3 if "gamma" in name or "bias" in name or w.ndim == 1 else w.shape[-1] ** -0.5)
        i[name.replace(".", "_")] = x + 1 if name.endswith("norm.weight") else x
    names = [n for n, _ in m.named_parameters()]
    def f(i):
        o, state = torch.func.functional_call(m, {n: i[n.replace(".", "_")] for n in names}, (i["x"],))
        end = state.states[0]
        return dict(o=o, **{"final_" + n.replace(".", "_"): end[n] for n in end.keys()})
    return {"x": d.normal(B, T, dim), **i}, {"dim_head": dim_head, **p, "params": names}, f

def neural_clipped(d, B, T, K, expansion, chunk_size, batch_size, max_lr, clip):
    F_ = K * expansion; w = lambda *s: d.normal(*s, sd=s[-1] ** -0.5); M = lambda a, b: d.normal(1, a, b, sd=1.5 * a ** -0.5)
    i = dict(x=d.normal(B, T, K), retrieve_norm_weight=d.normal(K, mean=1.0, sd=0.3), store_norm_weight=d.normal(K, mean=1.0, sd=0.3),
             memory_model_norm_gamma=d.normal(K), memory_model_model_weights_0=w(K, F_), memory_model_model_weights_1=w(F_, K),
             memory_model_parameters_0=d.normal(1, K, sd=0.3), memory_model_parameters_1=M(K, F_), memory_model_parameters_2=M(F_, K),
             to_queries_weight=w(K, K), to_keys_weight=w(K, K), to_values_weight=w(K, K),
             **{f"to_{n}_0_{p}": w(1, K) if p == "weight" else d.normal(1, mean=m, sd=0.3) for n, m in (("adaptive_step", 0.0), ("momentum", 0.0), ("decay_factor", -4.0))
                for p in ("weight", "bias")})
    def f(i):
        rms = lambda name: i["x"] * torch.rsqrt(i["x"].pow(2).mean(-1, keepdim=True) + 2.0 ** -23) * i[name]
        read, learnt = rms("retrieve_norm_weight"), rms("store_norm_weight")
        q, k, v = read @ i["to_queries_weight"].T, learnt @ i["to_keys_weight"].T, learnt @ i["to_values_weight"].T
        gate = lambda name: (learnt @ i[f"to_{name}_0_weight"].T + i[f"to_{name}_0_bias"])[..., 0]
        theta, eta, alpha = max_lr * gate("adaptive_step").sigmoid(), gate("momentum"), gate("decay_factor")
        net = lambda x, m: x + F.layer_norm(F.gelu(x @ m[1]) @ m[2], (K,)) * (1 + m[0])
        o, ends = [], []
        for b in range(B):
            M = base = [i[f"memory_model_parameters_{n}"][0] for n in range(3)]; S = G = [torch.zeros_like(m) for m in M]; y = []
            for t in range(T):
                at = [m.clone() for m in base]
                for m in at: m.requires_grad_() if m.is_leaf else None
                g = torch.autograd.grad((net(k[b, t], at) - v[b, t]).pow(2).mean(), at, create_graph=True)
                factor = clip * (clip * clip + sum(x.pow(2).sum() for x in g)) ** -0.5 if clip else 1
                G = [a + theta[b, t] * factor * x for a, x in zip(G, g)]
                if (t + 1) % chunk_size == 0:
                    mean = lambda x: x[b, t + 1 - chunk_size : t + 1].mean().sigmoid()
                    S = [mean(eta) * s - x for s, x in zip(S, G)]; M = [(1 - mean(alpha)) * m + s for m, s in zip(M, S)]; G = [torch.zeros_like(m) for m in M]
                if batch_size and (t + 1) % batch_size == 0: base = M
                y.append(net(q[b, t], M))
            o.append(torch.stack(y)); ends.append(M)
        end = lambda n: torch.stack([m[n] for m in ends])
        return dict(o=torch.stack(o), final_norm_gamma=end(0), final_model_weights_0=end(1), final_model_weights_1=end(2))
    return i, dict(heads=1, chunk_size=chunk_size, batch_size=batch_size, max_lr=max_lr, clip=clip), f

def hymba(x, in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias, heads, kv_heads, window, rope_base, **w):
    B, T, _ = x.shape; E, S = w["mamba_A_log_0"].shape; R = w["mamba_dt_layernorm_weight"].shape[0]; K = E // heads
    rms = lambda y, name: y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6) * w[name]
    q, k, v, u, z = F.linear(x, in_proj_weight, in_proj_bias).split([E, K * kv_heads, K * kv_heads, E, E], -1)
    angle = torch.arange(T).double()[:, None] * rope_base ** (-torch.arange(0, K, 2).double() / K); c, s = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
    split = lambda y: y.view(B, T, -1, K).transpose(1, 2)
    turn = lambda y: y * c + torch.cat([-y[..., K // 2:], y[..., : K // 2]], -1) * s
    many = lambda y: y.repeat_interleave(heads // kv_heads, 1)
    at = torch.arange(T); seen = (at[:, None] >= at) & (at[:, None] - at <= window)
    a = F.scaled_dot_product_attention(turn(split(q)), many(turn(split(k))), many(split(v)), attn_mask=seen).transpose(1, 2).reshape(B, T, E)
    taps = w["mamba_conv1d_weight"]
    u = F.silu(F.conv1d(F.pad(u.transpose(1, 2), (taps.shape[2] - 1, 0)), taps, w["mamba_conv1d_bias"], groups=E)).transpose(1, 2)
    dt, Bt, Ct = F.linear(u, w["mamba_x_proj_0_weight"]).split([R, S, S], -1)
    dt = F.softplus(F.linear(rms(dt, "mamba_dt_layernorm_weight"), w["mamba_dt_proj_0_weight"], w["mamba_dt_proj_0_bias"]))
    Bt, Ct, A, h, y = rms(Bt, "mamba_B_layernorm_weight"), rms(Ct, "mamba_C_layernorm_weight"), -w["mamba_A_log_0"].exp(), 0, []
    for t in range(T):
        h = torch.exp(dt[:, t, :, None] * A) * h + (dt[:, t] * u[:, t])[..., None] * Bt[:, t, None]
        y.append((h * Ct[:, t, None]).sum(-1))
    m = (torch.stack(y, 1) + w["mamba_D_0"] * u) * F.silu(z)
    return dict(o=F.linear((rms(a, "pre_avg_layernorm1_weight") + rms(m, "pre_avg_layernorm2_weight")) / 2, out_proj_weight, out_proj_bias))

def hymba_inputs(d, B, T, D, heads, kv_heads, S, R):
    E = 2 * D; I = 3 * E + 2 * (E // heads) * kv_heads; m = lambda *s: d.normal(*s, sd=s[-1] ** -0.5)
    return dict(x=d.normal(B, T, D), pre_avg_layernorm1_weight=d.normal(E, mean=1.0, sd=0.2), pre_avg_layernorm2_weight=d.normal(E, mean=1.0, sd=0.2),
                in_proj_weight=m(I, D), in_proj_bias=d.normal(I, sd=0.2), out_proj_weight=m(D, E), out_proj_bias=d.normal(D, sd=0.2),
                mamba_conv1d_weight=d.normal(E, 1, 3, sd=0.5), mamba_conv1d_bias=d.normal(E, sd=0.2), mamba_x_proj_0_weight=m(R + 2 * S, E),
                mamba_dt_proj_0_weight=m(E, R), mamba_dt_proj_0_bias=d.normal(E, mean=-2.0, sd=0.5), mamba_A_log_0=d.normal(E, S, sd=0.5), mamba_D_0=d.normal(E),
                mamba_dt_layernorm_weight=d.normal(R, mean=1.0, sd=0.2), mamba_B_layernorm_weight=d.normal(S, mean=1.0, sd=0.2),
                mamba_C_layernorm_weight=d.normal(S, mean=1.0, sd=0.2))

def operators(d, B, T, H, K, V):
    n = lambda *s, **o: d.normal(B, T, H, *s, **o); gate = lambda a=0.0, b=1.0: d.uniform(B, T, H, a=a, b=b)
    p = dict(window=12, heads=2 * H, kv_heads=H, dt_rank=3, state=6, conv=3, rope_base=10000); D = 2 * K * H
    yield "titans_linear_memory", (dict(q=n(K), k=unit(n(K)), v=n(V), theta=gate(), eta=gate(b=0.9), alpha=gate(b=0.3)), {}, lambda i: linear_memory(**i))
    yield "titans_neural_memory", neural(d, B, T, K, 4, heads=1, chunk_size=1, batch_size=None, max_lr=0.1, qk_rmsnorm=False)
    yield "titans_neural_memory@heads", neural(d, B, T, K, 3, heads=H, dim_head=V, chunk_size=3, batch_size=12, max_lr=0.05 if T < 100 else 0.01, qk_rmsnorm=True)
    yield "titans_neural_memory@batches", neural(d, B, T, V, 2, heads=1, chunk_size=4, batch_size=4, max_lr=0.02 if T < 100 else 0.01, qk_rmsnorm=False)
    yield "hymba_block", (hymba_inputs(d, B, T, D, 2 * H, H, 6, 3), p,
                          lambda i: hymba(**i, **{k: p[k] for k in ("heads", "kv_heads", "window", "rope_base")}))
    yield "titans_linear_memory@clip", (dict(q=n(K), k=unit(n(K)), v=n(V), theta=gate(), eta=gate(b=0.9), alpha=gate(b=0.3)), dict(clip=1.0), lambda i: linear_memory(**i, clip=1.0))
    yield "titans_neural_memory@clip", neural_clipped(d, B, T, K, 3, chunk_size=3, batch_size=12, max_lr=0.1, clip=0.5)

def check(program, seed):
    worst = 0
    for B, T, H, K, V in ((2, 1, 2, 8, 6), (1, 2, 1, 7, 5), (2, 67, 2, 8, 10), (1, 130, 3, 5, 7)):
        for name, (i, p, f) in operators(Draw(seed + T), B, T, H, K, V):
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
    for T, case in ((67, ""), (1, "one"), (130, "long")):
        d = Draw(7 + T)
        for name, (i, p, f) in operators(d, 1, T, 2, 6, 5):
            if T == 130 and name == "hymba_block": continue
            given, want = with_gradients(d, i, f); base = os.path.join(OUT, name + ("_" if "@" in name and case else "@" if case else "") + case)
            note = dict(made=json.dumps(dict(seed=7 + T, computed_in="float64")))
            save_file(file(given), base + ".in.safetensors", metadata=note); save_file(file(want), base + ".expected.safetensors", metadata=note)
            open(base + ".params.json", "w").write(json.dumps(p) + "\n")
            print(f"{os.path.basename(base):34s} {os.path.getsize(base + '.in.safetensors'):7d} {os.path.getsize(base + '.expected.safetensors'):7d}")
