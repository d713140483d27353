#!/usr/bin/env python3
"""Inputs, expected outputs and gradients of the operators of the family of attention (see make_op_fixtures.py).

    OMP_NUM_THREADS=1 python tests/oracle/make_attention_fixtures.py [FOLDER [SEED T K V]]     (no folder: tests/fixtures/ops)

Plain masks and softmaxes, differentiated by torch in float64. With a seed: fresh inputs of other sizes, for a comparison by
`headrace op` that is not kept. entmax is solved here by 200 halvings; nsa follows Yuan et al. 2025 as fla-core's naive_nsa does.
"""
import json, math, os, sys
import torch
from safetensors.torch import save_file

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "ops")
SEED, T, K, V = (int(x) for x in sys.argv[2:6]) if len(sys.argv) > 5 else (1, 67, 8, 12)
B, H = 2, 2
g = torch.Generator().manual_seed(SEED)
normal = lambda *s, sd=1.0: (sd * torch.randn(s, generator=g)).float().double()

class Entmax(torch.autograd.Function):
    """The threshold by halving, the gradients by the formulas of Correia et al. 2019."""
    @staticmethod
    def forward(ctx, x, alpha):
        b = alpha - 1; z = x * b; top = z.amax(-1, keepdim=True); lo, hi = top - 1, top
        for _ in range(200):
            t = (lo + hi) / 2; more = ((z - t).clamp(min=0) ** (1 / b)).sum(-1, keepdim=True) >= 1
            lo, hi = torch.where(more, t, lo), torch.where(more, hi, t)
        p = (z - lo).clamp(min=0) ** (1 / b); p = p / p.sum(-1, keepdim=True); ctx.save_for_backward(p, alpha); return p
    @staticmethod
    def backward(ctx, dy):
        p, alpha = ctx.saved_tensors; b = alpha - 1; s = torch.where(p > 0, p ** (1 - b), 0.0); q = s / s.sum(-1, keepdim=True)
        h = torch.where(p > 0, p * torch.log(p.clamp(min=1e-300)), 0.0)
        da = dy * ((p - q) / b**2 - (h - q * h.sum(-1, keepdim=True)) / b)
        while da.ndim > alpha.ndim: da = da.sum(0)
        for i in range(alpha.ndim):
            if alpha.shape[i] == 1 and da.shape[i] > 1: da = da.sum(i, keepdim=True)
        return s * (dy - (q * dy).sum(-1, keepdim=True)), da

def scores(q, k, scale=None):
    return torch.einsum("bihd,bjhd->bhij", q, k.repeat_interleave(q.shape[2] // k.shape[2], 2)) * (q.shape[-1] ** -0.5 if scale is None else scale)
def mix(p, v): return torch.einsum("bhij,bjhd->bihd", p, v.repeat_interleave(p.shape[1] // v.shape[2], 2))
def masked(mask): return lambda q, k, v: dict(o=mix(scores(q, k).masked_fill(~mask, -math.inf).softmax(-1), v))

def soft(q, k, v, sinks):
    h = q.shape[2]; back = torch.arange(T)[:, None] - torch.arange(T)
    s = 5 * torch.tanh(scores(q, k, 0.3) / 5) - (2.0 ** (-8.0 * (torch.arange(h).double() + 1) / h))[:, None, None] * back
    s = torch.cat([s.masked_fill(back < 0, -math.inf), sinks.view(1, -1, 1, 1).expand(B, h, T, 1)], -1)
    return dict(o=mix(s.softmax(-1)[..., :T], v))
def forgetting(q, k, v, g):
    c = g.cumsum(1).transpose(1, 2); s = scores(q, k) + c[..., :, None] - c[..., None, :]
    return dict(o=mix(s.masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf).softmax(-1), v))
def entmax_attention(q, k, v, alpha):
    s = scores(q, k).masked_fill(torch.ones(T, T).triu(1).bool(), -1e9); return dict(o=mix(Entmax.apply(s, alpha.view(-1, 1, 1)), v))
def entmax_rows(x, alpha):
    two, half = torch.full_like(alpha, 2.0), torch.full_like(alpha, 1.5)
    return dict(o=Entmax.apply(x, alpha), sparsemax=Entmax.apply(x, two.detach()), entmax15=Entmax.apply(x, half.detach()))

def nsa(q, k, v, g_cmp, g_slc, g_swa, block=16, counts=3, window=16):
    n, G = q.shape[1], q.shape[2] // k.shape[2]; all_blocks = -(-n // block); whole = n // block; t, c = torch.arange(n)[:, None], torch.arange(all_blocks)
    past = (c + 1) * block - 1 <= t; forced = (c == t // block) | (c == 0) | (c == t // block - 1); o = 0
    weights = torch.zeros(B, q.shape[2], n, all_blocks).double()
    if whole:
        mean = lambda x: x[:, : whole * block].unflatten(1, (whole, block)).mean(2)
        p = torch.nan_to_num(scores(q, mean(k)).masked_fill(~past[:, :whole], -math.inf).softmax(-1), nan=0.0)
        o = mix(p, mean(v)) * g_cmp[..., None]; weights[..., :whole] = p.detach()
    score = torch.where(forced, 1.0, weights.unflatten(1, (-1, G)).mean(2)).transpose(1, 2)                    # [B,T,Hkv,blocks]
    best = score.float().topk(min(counts, all_blocks), -1).indices
    ok = torch.gather((past | forced)[None, :, None].expand_as(score), -1, best)
    found = torch.full((B, n, k.shape[2], counts), -1); found[..., : best.shape[-1]] = torch.where(ok, best, -1)
    seen = torch.zeros(B, n, k.shape[2], all_blocks + 1).bool().scatter(-1, torch.where(found < 0, all_blocks, found), True)[..., :all_blocks]
    seen = seen.repeat_interleave(block, -1)[..., :n].repeat_interleave(G, 2).transpose(1, 2); back = t - torch.arange(n)
    o = o + mix(scores(q, k).masked_fill(~(seen & (back >= 0)), -math.inf).softmax(-1), v) * g_slc[..., None]
    return dict(o=o + mix(scores(q, k).masked_fill((back < 0) | (back >= window), -math.inf).softmax(-1), v) * g_swa[..., None], block_indices=found)

def cases():
    back = torch.arange(T)[:, None] - torch.arange(T); j, i = torch.arange(T), torch.arange(T)[:, None]; causal = back >= 0
    qkv = lambda h=H, hk=H: dict(q=normal(B, T, h, K), k=normal(B, T, hk, K), v=normal(B, T, hk, V))
    yield "attn_causal@backward", qkv(4, 2), {}, masked(causal)
    yield "attn_full@backward", qkv(4, 1), {}, masked(causal | True)
    yield "attn_sliding_window@backward", qkv(), dict(window=16), masked(causal & (back < 16))
    yield "attn_window_bidir@backward", qkv(), dict(half_window=8), masked(back.abs() <= 8)
    yield "attn_softcap_sink_alibi@backward", {**qkv(4, 2), "sinks": normal(4)}, dict(scale=0.3, cap=5.0, alibi=True), soft
    yield "attn_sparse_local", qkv(), dict(width=8), masked(causal & (back < 8))
    yield "attn_sparse_strided", qkv(), dict(stride=8), masked(causal & (back % 8 == 0))
    yield "attn_sparse_strided_merged", qkv(), dict(stride=8), masked(causal & ((back % 8 == 0) | (back < 8)))
    yield "attn_sparse_fixed", qkv(), dict(block=8, summary=2), masked(causal & ((i // 8 == j // 8) | (j % 8 >= 6)))
    yield "attn_entmax", {**qkv(), "alpha": torch.tensor([1.3, 1.75]).double().float().double()}, {}, entmax_attention
    yield "forgetting_attn", {**qkv(), "g": torch.nn.functional.logsigmoid(normal(B, T, H) + 1).float().double()}, {}, forgetting
    for exact in (False, True):
        seen = causal & ((back <= 16) if exact else (j // 16 >= i // 16 - 1))
        yield "local_attention_blocks" + ("@exact" if exact else ""), qkv(), dict(window_size=16, look_backward=1, exact_windowsize=exact), masked(seen)
    gates = {n: torch.sigmoid(normal(B, T, 4)).float().double() for n in ("g_cmp", "g_slc", "g_swa")}
    yield "nsa", {"q": normal(B, T, 4, 8), "k": normal(B, T, 1, 8), "v": normal(B, T, 1, 8), **gates}, dict(block_counts=3, block_size=16, window_size=16), nsa
    yield "entmax", dict(x=normal(12, T), alpha=(1.05 + 0.95 * torch.rand(12, 1, generator=g)).float().double()), dict(n_iter=50), entmax_rows

for name, inputs, params, f in cases():
    leaves = {n: x.clone().requires_grad_() for n, x in inputs.items()}; out = f(**leaves)
    d = {"d_" + n: normal(*x.shape) for n, x in out.items() if x.is_floating_point()}
    torch.autograd.backward([out[n[2:]] for n in d], list(d.values()))
    want = {**{n: x.detach() for n, x in out.items()}, **{"grad." + n: x.grad for n, x in leaves.items()}}
    plain = lambda t: {n: (x.float() if x.is_floating_point() else x).contiguous().clone() for n, x in t.items()}
    base = os.path.join(OUT, name); note = dict(made=json.dumps(dict(seed=SEED, computed_in="float64")))
    save_file(plain({**inputs, **d}), base + ".in.safetensors", metadata=note)
    save_file(plain(want), base + ".expected.safetensors", metadata=note)
    json.dump(params, open(base + ".params.json", "w")); open(base + ".params.json", "a").write("\n")
    big = max(os.path.getsize(base + e) for e in (".in.safetensors", ".expected.safetensors"))
    if SEED == 1 and big >= 100_000: raise SystemExit(f"{name} reaches 100 kB")
    print(f"{name:32s} {big:7d} bytes")
