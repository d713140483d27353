#!/usr/bin/env python3
"""The causal attention of bench/attention.cc by torch's scaled_dot_product_attention. Usage: attention_torch.py [T]"""
import sys, time
import torch
import torch.nn.functional as F

def best_ms(f):
    best = 1e9
    for _ in range(5):
        t = time.perf_counter(); f(); best = min(best, 1e3 * (time.perf_counter() - t))
    return best

T, H, K = int(sys.argv[1]) if len(sys.argv) > 1 else 2048, 8, 64
print(f"T = {T}, H = {H}, K = {K}, {torch.get_num_threads()} threads; ms\n  B    forward   forward + backward")
for B in (1, 8):
    q, k, v, dy = (torch.randn(B, H, T, K) for _ in range(4))
    attend = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)
    with torch.no_grad(): forward = best_ms(lambda: attend(q, k, v))
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    print(f"{B:3d} {forward:10.1f} {best_ms(lambda: torch.autograd.grad(attend(*leaves), leaves, dy)):20.1f}")
