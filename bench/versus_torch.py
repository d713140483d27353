#!/usr/bin/env python3
"""Are our operators faster than PyTorch's on this CPU? Forward, and forward with gradients; alternating, medians and their ratio.

    make bench; python bench/versus_torch.py [--threads 2] [--reps 5] [OPERATOR...]

torch's own where it has one (scaled_dot_product_attention, LSTM, GRU, conv1d, fft), else the slow paths that the field runs on a CPU:
the naive recurrences of flash-linear-attention (pip install --no-deps fla-core einops; loaded file by file, without triton) and
those of transformers. 8 heads of 64 or 512 channels, one and eight sequences of 2048 tokens; against the slow paths 512 and 128 tokens, because
they keep every step's state and their gradients write the whole output at each step; once only where that takes over ten seconds.
Wanted: at least 1 against torch's own, 10 against the slow paths. Exit 1 where that is missed.
"""
import argparse, importlib.util, json, os, statistics, subprocess, sys, time
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
H, D = 8, 64
C = H * D


def naive(path, name):
    root = os.path.dirname(importlib.util.find_spec("fla").origin)
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), os.path.join(root, "ops", path + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def leaf(*shape, scale=1.0):
    return torch.randn(*shape) * scale


def gate(*shape):
    return F.logsigmoid(torch.randn(*shape))


def unit(*shape):
    return F.normalize(torch.randn(*shape), dim=-1)


# Each: (B, T) -> (inputs, function of them). `own` is torch's own, wanted at 1; else a slow path, wanted at 10.
def sdpa(B, T):
    return [leaf(B, H, T, D), unit(B, H, T, D), leaf(B, H, T, D)], lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)


def cell(kind):
    def make(B, T):
        layer = kind(C, C, batch_first=True)
        return [leaf(B, T, C), *layer.parameters()], lambda x, *_: layer(x)[0]
    return make


def conv1d(B, T):
    return [leaf(B, C, T), leaf(C, 1, 4), leaf(C)], lambda x, w, b: F.silu(F.conv1d(x, w, b, padding=3, groups=C)[..., :T])


def fft_conv(B, T):
    def f(u, k, d):
        n = 2 * T
        return torch.fft.irfft(torch.fft.rfft(u, n=n) * torch.fft.rfft(k, n=n), n=n)[..., :T] + u * d[:, None]
    return [leaf(B, C, T), leaf(C, T, scale=0.02), leaf(C)], f


def fla(path, name, extra=lambda B, T: [], heads_first=False):
    def make(B, T):
        shape = (B, H, T, D) if heads_first else (B, T, H, D)
        f = naive(path, name)
        return [leaf(*shape), unit(*shape), leaf(*shape), *extra(B, T)], lambda *x: f(*x)[0]
    return make


def hgrn(B, T):
    f = naive("hgrn/naive", "naive_recurrent_hgrn")
    return [leaf(B, T, C), gate(B, T, C)], lambda x, g: f(x, g)[0]


def selective(B, T):
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan as f
    x = [leaf(B, C, T), F.softplus(leaf(B, C, T)), -torch.exp(leaf(C, 16)), leaf(B, 16, T), leaf(B, 16, T)]
    def first(*a):
        y = f(*a)
        return y[0] if isinstance(y, tuple) else y
    return x, first


def rwkv4(B, T):
    from transformers.models.rwkv.modeling_rwkv import rwkv_linear_attention_cpu as f
    return [leaf(C), leaf(C), leaf(B, T, C), leaf(B, T, C)], lambda w, u, k, v: f(w, u, k, v)[0]


OWN = {"attn_causal": sdpa, "lstm": cell(torch.nn.LSTM), "gru": cell(torch.nn.GRU), "causal_conv1d": conv1d, "fft_long_conv": fft_conv}
SLOW = {
    "linear_attn": fla("linear_attn/naive", "naive_recurrent_linear_attn"),
    "simple_gla": fla("simple_gla/naive", "naive_recurrent_simple_gla", lambda B, T: [gate(B, T, H)]),
    "gla": fla("gla/naive", "naive_recurrent_gla", lambda B, T: [gate(B, T, H, D)]),
    "rwkv6": fla("rwkv6/recurrent_naive", "naive_recurrent_rwkv6", lambda B, T: [gate(B, H, T, D), leaf(H, D)], heads_first=True),
    "delta_rule": fla("delta_rule/naive", "delta_rule_recurrence", lambda B, T: [torch.sigmoid(leaf(B, H, T))], heads_first=True),
    "gated_delta_rule": fla("gated_delta_rule/naive", "naive_recurrent_gated_delta_rule",
                            lambda B, T: [torch.sigmoid(leaf(B, T, H)), gate(B, T, H)]),
    "kda": fla("kda/naive", "naive_recurrent_kda", lambda B, T: [gate(B, T, H, D), torch.sigmoid(leaf(B, T, H))]),
    "rwkv7": fla("generalized_delta_rule/dplr/naive", "dplr_recurrence",
                 lambda B, T: [-unit(B, H, T, D), 0.5 * unit(B, H, T, D), 0.6 * gate(B, H, T, D)], heads_first=True),
    "hgrn": hgrn, "mamba_selective_scan": selective, "rwkv4_wkv": rwkv4,
}


def timed(f):
    begin = time.perf_counter()
    f()
    return 1e3 * (time.perf_counter() - begin)


def ours(a, name, B, T):
    out = subprocess.run([a.bench, "--json", "--reps", "3", "--threads", str(a.threads), "--batch", str(B), "--tokens", str(T), name],
                         capture_output=True, text=True, check=True).stdout
    row = json.loads(out)
    return row["forward_ms"], row["both_ms"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("operators", nargs="*")
    p.add_argument("--bench", default=os.path.join(HERE, "..", "build", "bench_operators"))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--reps", type=int, default=5)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    missed = []
    print(f"{a.threads} threads, torch {torch.__version__}; ms, medians of up to {a.reps}")
    print("| operator | B | T | forward: ours | torch | ratio | with gradients: ours | torch | ratio | wanted |\n|---|---|---|---|---|---|---|---|---|---|")
    for name, make in {**OWN, **SLOW}.items():
        if a.operators and name not in a.operators:
            continue
        for B in (1, 8):
            T = 2048 if name in OWN else 512 if B == 1 else 128
            inputs, f = make(B, T)
            leaves = [x.detach().clone().requires_grad_() for x in inputs] if name not in ("lstm", "gru") else [inputs[0].requires_grad_(), *inputs[1:]]
            dy = torch.randn_like(f(*inputs).detach())
            def forward():
                with torch.no_grad():
                    f(*inputs)
            rows = []
            for _ in range(a.reps):
                mine = ours(a, name, B, T)
                theirs = timed(forward), timed(lambda: torch.autograd.grad(f(*leaves), leaves, dy, allow_unused=True))
                rows.append((mine[0], theirs[0], mine[1], theirs[1]))
                if sum(theirs) > 10e3:
                    break
            m = [statistics.median(r[i] for r in rows) for i in range(4)]
            forward_ratio, both_ratio = (statistics.median(r[i + 1] / r[i] for r in rows) for i in (0, 2))
            wanted = 1 if name in OWN else 10
            if min(forward_ratio, both_ratio) < wanted:
                missed.append(f"{name} B={B}")
            print(f"| {name} | {B} | {T} | {m[0]:.1f} | {m[1]:.1f} | {forward_ratio:.2f} | {m[2]:.1f} | {m[3]:.1f} | {both_ratio:.2f} | {wanted} |", flush=True)
    if missed:
        sys.exit("below what is wanted: " + ", ".join(missed))


main()
