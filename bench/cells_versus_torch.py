#!/usr/bin/env python3
"""torch.nn.LSTM and GRU on this CPU beside build/bench_cells: 512 channels, 2048 tokens, one and eight sequences.

    make bench; python bench/cells_versus_torch.py [threads]
"""
import subprocess, sys, time
import torch

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
torch.set_num_threads(threads)

def least(rounds, f):
    best = 1e30
    for _ in range(rounds):
        begin = time.perf_counter(); f(); best = min(best, time.perf_counter() - begin)
    return best * 1e3

print(subprocess.run(["build/bench_cells", str(threads)], capture_output=True, text=True, check=True).stdout, end="")
for batch in (1, 8):
    for kind in (torch.nn.LSTM, torch.nn.GRU):
        layer, x = kind(512, 512, batch_first=True), torch.randn(batch, 2048, 512)
        def both():
            y, _ = layer(x.requires_grad_()); y.backward(y.detach())
        with torch.no_grad(): forward = least(3, lambda: layer(x))
        print(f"torch {kind.__name__:4s} B={batch} {forward:9.1f} ms forward {least(2, both):9.1f} ms with gradients", flush=True)
