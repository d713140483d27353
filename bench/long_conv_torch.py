#!/usr/bin/env python3
"""The convolutions of bench/long_conv.cc by torch.fft, as HazyResearch/safari's fftconv does them. Usage: long_conv_torch.py [T...]"""
import sys, time
import torch

def fftconv(u, k, D):                             # u [1,C,T], k [C,T]
    n = 2 * u.shape[-1]
    return torch.fft.irfft(torch.fft.rfft(u, n=n) * torch.fft.rfft(k, n=n), n=n)[..., :u.shape[-1]] + u * D[:, None]

def best_ms(f):
    best = 1e9
    for _ in range(7):
        t = time.perf_counter(); f(); best = min(best, 1e3 * (time.perf_counter() - t))
    return best

C = 512
print(f"C = {C}, {torch.get_num_threads()} threads; ms\n{'T':>8} {'forward':>10} {'forward + backward':>20}")
for T in [int(a) for a in sys.argv[1:]] or [2048, 8192, 32768]:
    u, k, D, dy = torch.rand(1, C, T) - 0.5, torch.rand(C, T) - 0.5, torch.rand(C) - 0.5, torch.rand(1, C, T) - 0.5
    with torch.no_grad(): forward = best_ms(lambda: fftconv(u, k, D))
    leaves = [x.clone().requires_grad_() for x in (u, k, D)]
    print(f"{T:8d} {forward:10.2f} {best_ms(lambda: torch.autograd.grad(fftconv(*leaves), leaves, dy)):20.2f}")
