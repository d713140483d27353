#!/usr/bin/env python3
"""Is headrace faster than llama.cpp on the same file? Prefill and decode, alternating, medians and their ratio.

    python3 bench/versus_llamacpp.py --llama-bench PATH [--reps 5] [--threads 2] MODEL.gguf ...
    python3 bench/versus_llamacpp.py --against OTHER MODEL [--prompt 8192]      two models, both in headrace, decoding after the prompt

llama-bench is llama.cpp's own program, built natively (GGML_NATIVE=ON). Where the machine has AMX, a second build without it and
HEADRACE_INSTRUCTIONS=avx512 compare what both do with AVX-512 VNNI alone: -DGGML_NATIVE=OFF and =ON for GGML_SSE42, AVX, AVX2, BMI2, FMA,
F16C, AVX512, AVX512_VBMI, AVX512_VNNI, AVX512_BF16. Both decode --gen tokens from an empty context and
prefill --prompt tokens (as llama-bench does). The floors, by `headrace doctor --json` and `headrace plan --json`: a decoded token reads the file's
weights and the state, over the measured read bandwidth; a prompt takes the operations that are counted, over the measured int8 peak (that of
VNNI; AMX has more). Exit 1 if a program fails.
"""
import argparse, json, os, statistics, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))


def output(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def ours(a, model):
    base = [a.headrace, "bench", model, "--threads", a.threads, "--reps", 1, "--json"]
    prefill = output(base + ["--prompt", a.prompt, "--gen", a.gen if a.against else 1])
    decode = prefill if a.against else output(base + ["--prompt", 1, "--gen", a.gen])
    return prefill["prefill_tps"], decode["decode_tps"]


def floors(a, model, machine):
    """Tokens per second that the machine allows: prefill, decode."""
    def plan(context):
        return output([a.headrace, "plan", model, "--context", context, "--json"])
    seen = (a.prompt if a.against else 1) + a.gen // 2
    decode = plan(seen)
    bytes_read = decode["file_bytes"] + decode["state_bytes"]
    return a.prompt * machine["int8_ops"] / plan(a.prompt)["prefill_flops"], machine["read_bytes_per_second"] / bytes_read


def theirs(a, model):
    if a.against:
        return ours(a, a.against)
    rows = output([a.llama_bench, "-m", model, "-t", a.threads, "-p", a.prompt, "-n", a.gen, "-r", 1, "-o", "json"])
    return rows[0]["avg_ts"], rows[1]["avg_ts"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+")
    p.add_argument("--headrace", default=os.path.join(HERE, "..", "build", "headrace"))
    p.add_argument("--llama-bench")
    p.add_argument("--against")
    p.add_argument("--prompt", type=int, default=512)
    p.add_argument("--gen", type=int, default=128)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--reps", type=int, default=5)
    a = p.parse_args()
    if not (a.llama_bench or a.against):
        p.error("--llama-bench or --against is needed")
    floor = output([a.headrace, "doctor", "--threads", a.threads, "--json"])
    print(f"{floor['instructions']}, read {floor['read_bytes_per_second'] / 1e9:.1f} GB/s, int8 {floor['int8_ops'] / 1e9:.0f} GOP/s, {a.threads} threads, medians of {a.reps} (lowest to highest), {a.prompt} prompt, {a.gen} generated")
    print("| model | prefill: ours | other | ratio | decode: ours | other | ratio | prefill, share of int8 peak | decode, share of read bound |\n|---|---|---|---|---|---|---|---|---|")
    for model in a.models:
        mine, other = [], []
        for _ in range(a.reps):
            mine.append(ours(a, model))
            other.append(theirs(a, model))
        def cell(rows, i):
            v = sorted(r[i] for r in rows)
            return f"{statistics.median(v):.0f} ({v[0]:.0f}-{v[-1]:.0f})"
        def ratio(i):
            return statistics.median(m[i] / o[i] for m, o in zip(mine, other))
        share = [statistics.median(m[i] for m in mine) / f for i, f in enumerate(floors(a, model, floor))]
        print(f"| {os.path.basename(model)} | {cell(mine, 0)} | {cell(other, 0)} | {ratio(0):.2f} | {cell(mine, 1)} | {cell(other, 1)} | "
              f"{ratio(1):.2f} | {share[0]:.0%} | {share[1]:.0%} |", flush=True)


main()
