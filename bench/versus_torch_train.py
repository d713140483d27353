#!/usr/bin/env python3
"""Is a step of training faster than PyTorch's on this CPU? Forward, backward and AdamW of small models, alternating, medians and their ratio.

    make bench; python bench/versus_torch_train.py [--threads 2] [--reps 5] [--batch 8] [MODEL...]

Two layers of width 128, each a mixer and a SwiGLU, on MQAR's shape (Arora et al. 2023, 2312.04927): sequences of 256 tokens of a vocabulary of 8192, 64 pairs
and then as many questions, which alone have targets; and a 20M-parameter Transformer with a target for every token. On torch's side what the field runs on a CPU: scaled_dot_product_attention for attention, for the others the
recurrences as flash-linear-attention's naive code has them, a step at a time, and Mamba-2 also in chunks (its paper's listing 1, which is what
transformers runs without CUDA); AdamW fused. Wanted: at least 3, and 1 for the 20M Transformer. Exit 1 where that is missed.
"""
import argparse, json, math, os, statistics, subprocess, sys, time
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


class RMSNorm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-5)


class SwiGLU(nn.Module):
    def __init__(self, d, hidden):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(d, hidden, False), nn.Linear(d, hidden, False), nn.Linear(hidden, d, False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.h = heads
        self.qkv, self.out = nn.Linear(d, 3 * d, False), nn.Linear(d, d, False)

    def forward(self, x):
        B, T, D = x.shape
        q, k, v = (t.view(B, T, self.h, D // self.h).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        angle = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(0, D // self.h, 2) / (D // self.h))
        cos, sin = angle.cos(), angle.sin()
        y = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(B, T, D))


class GLA(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.h, self.K, self.V = heads, d // 2 // heads, d // heads
        self.q, self.k, self.v, self.g = nn.Linear(d, d // 2, False), nn.Linear(d, d // 2, False), nn.Linear(d, d, False), nn.Linear(d, d, False)
        self.down, self.up, self.out = nn.Linear(d, 16, False), nn.Linear(16, d // 2), nn.Linear(d, d, False)
        self.norm = RMSNorm(self.V)

    def forward(self, x):
        B, T, D = x.shape
        q, k = self.q(x).view(B, T, self.h, self.K) * self.K ** -0.5, self.k(x).view(B, T, self.h, self.K)
        v = self.v(x).view(B, T, self.h, self.V)
        decay = (F.logsigmoid(self.up(self.down(x))) / 16).view(B, T, self.h, self.K).exp()
        S, ys = x.new_zeros(B, self.h, self.K, self.V), []
        for t in range(T):
            S = S * decay[:, t, ..., None] + k[:, t, ..., None] * v[:, t, :, None]
            ys.append((q[:, t, ..., None] * S).sum(-2))
        return self.out(self.norm(torch.stack(ys, 1)).reshape(B, T, D) * F.silu(self.g(x)))


class DeltaNet(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.h = heads
        self.qkv, self.beta, self.out, self.norm = nn.Linear(d, 3 * d, False), nn.Linear(d, heads, False), nn.Linear(d, d, False), RMSNorm(d // heads)
        self.conv = nn.Conv1d(3 * d, 3 * d, 4, groups=3 * d, padding=3, bias=False)

    def forward(self, x):
        B, T, D = x.shape
        qkv = F.silu(self.conv(self.qkv(x).transpose(1, 2))[..., :T]).transpose(1, 2)
        q, k, v = (t.view(B, T, self.h, D // self.h) for t in qkv.chunk(3, -1))
        q, k, beta = F.normalize(q, dim=-1) * (D // self.h) ** -0.5, F.normalize(k, dim=-1), torch.sigmoid(self.beta(x))
        S, ys = x.new_zeros(B, self.h, D // self.h, D // self.h), []
        for t in range(T):
            seen = (S * k[:, t, ..., None]).sum(-2)
            S = S + k[:, t, ..., None] * ((v[:, t] - seen) * beta[:, t, :, None])[..., None, :]
            ys.append((q[:, t, ..., None] * S).sum(-2))
        return self.out(self.norm(torch.stack(ys, 1)).reshape(B, T, D))


def segment_sums(x):
    T = x.size(-1)
    x = x[..., None].expand(*x.shape, T).masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(-1), 0)
    return x.cumsum(-2).masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(0), -math.inf)


class Mamba2(nn.Module):
    chunked = True

    def __init__(self, d, heads, state=64):
        super().__init__()
        self.h, self.n, self.e = heads, state, 2 * d
        self.inp, self.out = nn.Linear(d, 2 * self.e + 2 * state + heads, False), nn.Linear(self.e, d, False)
        self.conv = nn.Conv1d(self.e + 2 * state, self.e + 2 * state, 4, groups=self.e + 2 * state, padding=3)
        self.A_log, self.dt_bias, self.D = nn.Parameter(torch.zeros(heads)), nn.Parameter(torch.full((heads,), -4.0)), nn.Parameter(torch.ones(heads))
        self.norm = RMSNorm(self.e)

    def forward(self, u):
        B, T, _ = u.shape
        z, xbc, dt = self.inp(u).split([self.e, self.e + 2 * self.n, self.h], -1)
        x, b, c = F.silu(self.conv(xbc.transpose(1, 2))[..., :T]).transpose(1, 2).split([self.e, self.n, self.n], -1)
        dt, x = F.softplus(dt + self.dt_bias), x.reshape(B, T, self.h, self.e // self.h)
        a, v = -self.A_log.exp() * dt, x * dt[..., None]
        y = (self.chunks if self.chunked else self.steps)(v, a, b, c) + self.D[:, None] * x
        return self.out(self.norm(y.reshape(B, T, self.e) * F.silu(z)))

    def chunks(self, v, a, b, c, L=64):
        B, T, H, P = v.shape
        v, b, c = v.view(B, T // L, L, H, P), b.view(B, T // L, L, -1), c.view(B, T // L, L, -1)
        a = a.view(B, T // L, L, H).permute(0, 3, 1, 2)
        sums = a.cumsum(-1)
        inner = torch.einsum("bcln,bcsn,bhcls,bcshp->bclhp", c, b, segment_sums(a).exp(), v)
        states = torch.einsum("bcln,bhcl,bclhp->bchpn", b, (sums[..., -1:] - sums).exp(), v)
        states = torch.cat([torch.zeros_like(states[:, :1]), states], 1)
        decay = segment_sums(F.pad(sums[..., -1], (1, 0))).exp()
        states = torch.einsum("bhzc,bchpn->bzhpn", decay, states)[:, :-1]
        return (inner + torch.einsum("bcln,bchpn,bhcl->bclhp", c, states, sums.exp())).reshape(B, T, H, P)

    def steps(self, v, a, b, c):
        B, T, H, P = v.shape
        S, ys = v.new_zeros(B, H, P, self.n), []
        for t in range(T):
            S = S * a[:, t, :, None, None].exp() + v[:, t, ..., None] * b[:, t, None, None]
            ys.append((S * c[:, t, None, None]).sum(-1))
        return torch.stack(ys, 1)


class Mamba2Steps(Mamba2):
    chunked = False


class RWKV7(nn.Module):
    def __init__(self, d, heads, rank=32):
        super().__init__()
        self.h = heads
        self.mix = nn.Parameter(torch.rand(6, d))
        self.r, self.k, self.v, self.out = (nn.Linear(d, d, False) for _ in range(4))
        low = lambda bias: nn.Sequential(nn.Linear(d, rank, False), nn.Linear(rank, d, bias))
        self.w, self.a, self.g = low(True), low(True), low(False)
        self.k_k, self.k_a, self.r_k = nn.Parameter(torch.full((d,), 0.7)), nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(heads, d // heads))
        self.norm = nn.GroupNorm(heads, d, eps=64e-5)

    def forward(self, x):
        B, T, D = x.shape
        H, K = self.h, D // self.h
        delta = F.pad(x, (0, 0, 1, -1)) - x
        xr, xw, xk, xv, xa, xg = (x + delta * m for m in self.mix)
        r, k, v = self.r(xr), self.k(xk), self.v(xv)
        w = torch.exp(-0.60653066 * torch.sigmoid(self.w[1](torch.tanh(self.w[0](xw))))).view(B, T, H, K)
        a, g = torch.sigmoid(self.a(xa)), self.g[1](torch.sigmoid(self.g[0](xg)))
        kappa = F.normalize((k * self.k_k).view(B, T, H, K), dim=-1)
        k = k * (1 + (a - 1) * self.k_a)
        r, k, v, a = (t.view(B, T, H, K) for t in (r, k, v, a))
        S, ys, b = x.new_zeros(B, H, K, K), [], a * kappa
        for t in range(T):
            seen = (S * -kappa[:, t, ..., None]).sum(-2)
            S = S * w[:, t, ..., None] + b[:, t, ..., None] * seen[..., None, :] + k[:, t, ..., None] * v[:, t, :, None]
            ys.append((r[:, t, ..., None] * S).sum(-2))
        y = self.norm(torch.stack(ys, 1).reshape(B * T, D)).view(B, T, D) + ((r * k * self.r_k).sum(-1, keepdim=True) * v).reshape(B, T, D)
        return self.out(y * g)


class Model(nn.Module):
    def __init__(self, mixer, d, layers, hidden, vocab):
        super().__init__()
        self.embed = nn.Embedding(vocab, d)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.layers = nn.ModuleList(nn.ModuleList([RMSNorm(d), mixer(), RMSNorm(d), SwiGLU(d, hidden)]) for _ in range(layers))
        self.norm = RMSNorm(d)

    def forward(self, ids):
        x = self.embed(ids)
        for n1, mixer, n2, mlp in self.layers:
            x = x + mixer(n1(x))
            x = x + mlp(n2(x))
        return F.linear(self.norm(x), self.embed.weight)


small = "d=128 vocab=8192  2*({} + swiglu(hidden=384))"
MODELS = {   # blueprint, torch's model, wanted
    "transformer": (small.format("attn(heads=4)"), lambda: Model(lambda: Attention(128, 4), 128, 2, 384, 8192), 3),
    "gla": (small.format("gla(heads=4)"), lambda: Model(lambda: GLA(128, 4), 128, 2, 384, 8192), 3),
    "mamba2": (small.format("mamba2(heads=4, dim=64, state=64)"), lambda: Model(lambda: Mamba2(128, 4), 128, 2, 384, 8192), 3),
    "mamba2_steps": (small.format("mamba2(heads=4, dim=64, state=64)"), lambda: Model(lambda: Mamba2Steps(128, 4), 128, 2, 384, 8192), 3),
    "deltanet": (small.format("delta_net(heads=4)"), lambda: Model(lambda: DeltaNet(128, 4), 128, 2, 384, 8192), 3),
    "rwkv7": (small.format("rwkv7(heads=4)"), lambda: Model(lambda: RWKV7(128, 4), 128, 2, 384, 8192), 3),
    "transformer20m": ("d=384 vocab=8192  10*(attn(heads=6) + swiglu(hidden=1024))",
                       lambda: Model(lambda: Attention(384, 6), 384, 10, 1024, 8192), 1),
}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", metavar="MODEL")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--reps", type=int, default=5)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--bench", default=os.path.join(HERE, "..", "build", "bench_training"))
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    missed = []
    print(f"torch {torch.__version__}, {a.threads} threads, {a.batch} sequences of 256 tokens a step, medians of {a.reps}")
    print("| model | parameters | ours, ms | torch, ms | ratio | wanted |\n|---|---|---|---|---|---|")
    for name in a.models or MODELS:
        blueprint, make, wanted = MODELS[name]
        model = make()
        n = sum(t.numel() for t in model.parameters())
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        ids, targets = torch.randint(8192, (2, a.batch, 256))
        questions = 256 if wanted == 1 else 64
        place = torch.arange(256)
        asked = torch.where((place >= 128) & (place % 2 == 0), targets, -100) if questions == 64 else targets

        def step():
            begin = time.perf_counter()
            loss = F.cross_entropy(model(ids).view(-1, 8192), asked.view(-1), ignore_index=-100)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return 1e3 * (time.perf_counter() - begin)

        step()
        ours, theirs = [], []
        for _ in range(a.reps):
            out = subprocess.run([a.bench, "--blueprint", blueprint, "--tokens", "256", "--batch", str(a.batch), "--threads", str(a.threads),
                                  "--reps", "3", "--targets", str(questions % 256)], capture_output=True, text=True, check=True).stdout
            ours.append(json.loads(out)["step_ms"])
            theirs.append(step())
        us, them = statistics.median(ours), statistics.median(theirs)
        if them / us < wanted:
            missed.append(name)
        print(f"| {name} | {n / 1e6:.2f} M | {us:.1f} | {them:.1f} | {them / us:.2f} | {wanted} |", flush=True)
    if missed:
        sys.exit("below what is wanted: " + ", ".join(missed))


if __name__ == "__main__":
    main()
