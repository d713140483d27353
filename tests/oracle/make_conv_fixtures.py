#!/usr/bin/env python3
"""Fixtures of the convolutions and state-space operators: inputs, outputs and gradients in float64 by torch, from formulas written here
(sources: torch.fft; HazyResearch/safari standalone_hyena.py, HazyResearch/H3 h3.py, state-spaces/s4 s4d.py and s4.py).
Usage: make_conv_fixtures.py [NAME...]"""
import json, math, os, sys
import torch, torch.nn.functional as F
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "ops")
R = torch.randn

def conv(u, k, D):                               # u [B,T,C], k [C,L]
    T = u.shape[1]; n = T + k.shape[1]
    y = torch.fft.irfft(torch.fft.rfft(u.mT, n=n) * torch.fft.rfft(k, n=n), n=n)[..., :T].mT
    return y + u * D
def short(x, w, b):
    return F.conv1d(F.pad(x, (0, 0, w.shape[-1] - 1, 0)).mT, w, b, groups=x.shape[2]).mT
def z(x): return torch.view_as_complex(x.contiguous())

def fft_long_conv(B=2, T=67, C=11):
    return dict(u=R(B, T, C), k=R(C, T), D=R(C)), {}, lambda i: dict(o=conv(i["u"], i["k"], i["D"]))

def hyena(order, B=2, T=67, D=7, O=6, Z=5):
    E, I, n = D * (order - 1), D * (order + 1), "filter_fn_implicit_filter_"
    t = torch.linspace(0, 1, T)[None, :, None]; f = torch.linspace(1e-4, (Z - 1) // 2 - 1, (Z - 1) // 2)
    wave = torch.exp(-2j * math.pi * f * torch.arange(T)[None, :, None] / T)
    i = dict(u=R(B, T, D), in_proj_weight=R(I, D) / 3, in_proj_bias=R(I), out_proj_weight=R(D, D) / 3, out_proj_bias=R(D), short_filter_weight=R(I, 1, 3),
             short_filter_bias=R(I), filter_fn_bias=R(E), filter_fn_pos_emb_z=torch.cat([t, wave.real, wave.imag], -1), buf_filter_fn_pos_emb_t=t,
             buf_filter_fn_modulation_deltas=torch.linspace(math.log(1e-2) / 1.5, math.log(1e-2) / 0.3, E)[None, None])
    i |= {n + "0_weight": R(O, Z), n + "0_bias": R(O), n + "1_freq": 1 + R(1, O) / 4, n + "2_weight": R(O, O) / 3, n + "2_bias": R(O), n + "4_weight": R(O, O) / 3,
          n + "4_bias": R(O), n + "6_weight": R(E, O) / 3}
    def f(i):
        h = i["filter_fn_pos_emb_z"]
        for a in "024": h = torch.sin(i[n + "1_freq"] * F.linear(h, i[n + a + "_weight"], i[n + a + "_bias"]))
        h = (F.linear(h, i[n + "6_weight"]) * torch.exp(-i["buf_filter_fn_pos_emb_t"] * i["buf_filter_fn_modulation_deltas"].abs()))[0]
        *x, v = short(F.linear(i["u"], i["in_proj_weight"], i["in_proj_bias"]), i["short_filter_weight"], i["short_filter_bias"]).split(D, 2)
        for o, g in enumerate(reversed(x[1:])): v = conv(v * g, h[:, o * D:(o + 1) * D].T, i["filter_fn_bias"][o * D:(o + 1) * D])
        return dict(o=F.linear(v * x[0], i["out_proj_weight"], i["out_proj_bias"]))
    return i, dict(order=order), f

def s4d(B=2, T=67, H=8, N=4):
    def f(i):
        A = -torch.exp(i["kernel_log_A_real"]) + 1j * i["kernel_A_imag"]; dtA = A * torch.exp(i["kernel_log_dt"])[:, None]
        k = 2 * torch.einsum("hn,hnl->hl", z(i["kernel_C"]) * (torch.exp(dtA) - 1) / A, torch.exp(dtA[..., None] * torch.arange(T))).real
        y = F.gelu(conv(i["u"].mT, k, i["D"])).mT
        return dict(o=F.glu(F.conv1d(y, i["output_linear_0_weight"], i["output_linear_0_bias"]), -2), kernel=k)
    return dict(u=R(B, H, T), D=R(H), kernel_C=R(H, N, 2), kernel_log_dt=torch.rand(H) * 4.6 - 6.9, kernel_log_A_real=R(H, N) * 0.3 - 0.7,
                kernel_A_imag=math.pi * torch.arange(N).float().repeat(H, 1), output_linear_0_weight=R(2 * H, H, 1) / 3,
                output_linear_0_bias=R(2 * H)), dict(d_state=2 * N), f

def h3(p, B=2, T=67, D=8, N=3, S=6):
    H = D // p
    def f(i):
        k = torch.fft.irfft(torch.fft.rfft(i["ssm_k_kernel_kernel_B"], n=2 * S).conj() * torch.fft.rfft(i["ssm_k_kernel_kernel_C"][0], n=2 * S), n=2 * S)[:, :S]
        shift = F.pad(k, (0, T - S)); dt = torch.exp(i["kernel_kernel_log_dt"])[:, None]
        dtA = (-torch.exp(i["kernel_kernel_inv_A_real"]) + 1j * i["kernel_kernel_A_imag"]) * dt
        C = z(i["kernel_kernel_B"]) * z(i["kernel_kernel_C"])[0] / (1 - dtA / 2) * dt; pole = ((1 + dtA / 2) / (1 - dtA / 2)).log()
        diag = 2 * torch.einsum("hn,hnl->hl", C, torch.exp(pole[..., None] * torch.arange(T))).real
        q, k, v = [F.linear(i["u"], i[a + "_proj_weight"], i[a + "_proj_bias"]) for a in "qkv"]
        q, k, v = [x.view(B, T, H, p) for x in (q, conv(k, shift, i["ssm_k_D"]), v)]
        y = torch.stack([sum(conv(k[..., a] * v[..., b], diag, i["D"]) * q[..., a] for a in range(p)) for b in range(p)], 2)
        return dict(o=F.linear(y.reshape(B, T, D), i["output_linear_weight"], i["output_linear_bias"]), shift_kernel=shift, diag_kernel=diag)
    i = dict(u=R(B, T, D), ssm_k_D=R(D), D=R(H), ssm_k_kernel_kernel_B=R(D, S), ssm_k_kernel_kernel_C=R(1, D, S), kernel_kernel_C=R(1, H, N, 2),
             kernel_kernel_log_dt=torch.rand(H) * 4.6 - 6.9, kernel_kernel_B=R(H, N, 2), kernel_kernel_inv_A_real=R(H, N) * 0.3 - 0.7,
             kernel_kernel_A_imag=math.pi * torch.arange(N).float().repeat(H, 1), output_linear_weight=R(D, D) / 3, output_linear_bias=R(D))
    for a in "qkv": i |= {a + "_proj_weight": R(D, D) / 3, a + "_proj_bias": R(D)}
    return i, dict(head_dim=p, d_state=2 * N), f

def s4_dplr(B=2, T=67, H=3, N=4):                 # the dense recurrence, values only
    M = 2 * N; q = torch.arange(M, dtype=torch.float64); P = torch.sqrt(q + 0.5)
    A = -torch.sqrt((2 * q[:, None] + 1) * (2 * q + 1)).tril(-1) - torch.diag(q + 1)
    w, V = torch.linalg.eigh(-1j * (A + P[:, None] * P + torch.eye(M) / 2)); V = V[:, N:]
    pairs = lambda x: torch.view_as_real(x).float()[None].repeat(H, 1, 1)
    def f(i):
        full = lambda x: torch.cat([z(x), z(x).conj()], -1)
        L, P, Bf, C = full(i["A"]), full(i["P"])[0], full(i["B"])[0], full(i["C"])[0]; dt = torch.exp(i["log_dt"])[:, None, None]
        A = torch.diag_embed(L) - P[..., :, None] * P.conj()[..., None, :]; one = torch.eye(M, dtype=A.dtype)
        dA = torch.linalg.solve(one - dt / 2 * A, one + dt / 2 * A); x = dB = torch.linalg.solve(one - dt / 2 * A, (dt[..., 0] * Bf))
        k = []
        for _ in range(T): k.append((C * x).sum(-1).real); x = torch.einsum("hmn,hn->hm", dA, x)
        k = torch.stack(k, -1); r = torch.view_as_real
        return dict(o=conv(i["u"], k, i["D"][0]), kernel=k[None], dA=r(dA), dB=r(dB), dC=r(C)[None])
    VH = V.conj().T; root = torch.sqrt(2 * q + 1).to(V)
    return dict(u=R(B, T, H), log_dt=torch.rand(H) * 4.6 - 6.9, A=pairs(-0.5 + 1j * w[N:]), B=pairs(VH @ root)[None], C=R(1, H, N, 2),
                P=pairs(VH @ P.to(V))[None], D=R(1, H)), dict(d_state=M, l_max=T), f

CASES = {"fft_long_conv": fft_long_conv, "fft_long_conv@one": lambda: fft_long_conv(T=1), "hyena": lambda: hyena(2), "hyena@three": lambda: hyena(3), "s4d": s4d,
         "h3": lambda: h3(1), "h3@heads": lambda: h3(2), "s4_dplr": s4_dplr}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, make in CASES.items():
        if sys.argv[1:] and name not in sys.argv[1:]: continue
        torch.manual_seed(1)
        i, p, f = make()
        x = {k: v.double().requires_grad_() for k, v in i.items()}
        y = f(x); want = dict(y)
        if not name.startswith("s4_dplr"):
            d = {k: R(v.shape) for k, v in y.items()}
            sum((y[k] * d[k].double()).sum() for k in y).backward()
            i |= {"d_" + k: v for k, v in d.items()}; want |= {"grad." + k: v.grad for k, v in x.items()}
        base = os.path.join(OUT, name)
        save_file({k: v.float().contiguous() for k, v in i.items()}, base + ".in.safetensors")
        save_file({k: v.detach().float().contiguous().clone() for k, v in want.items()}, base + ".expected.safetensors")
        open(base + ".params.json", "w").write(json.dumps(p) + "\n")
        print(name, sum(os.path.getsize(base + e) for e in (".in.safetensors", ".expected.safetensors")), "bytes")
