#!/usr/bin/env python3
"""Do headrace and llama.cpp say the same of a quantised file? 20 prompts, each continued greedily by headrace; both score the text.

    python3 bench/agree_with_llamacpp.py --llama-cpp SOURCE_WITH_build/bin MODEL.gguf        needs numpy and safetensors

Prints, over all tokens: the mean and largest difference of the log-probability of the text's next token, the mean KL divergence,
how often the two best tokens are equal, and the first prompts where greedy text would part, with the margin of llama.cpp's choice
there. With --naive also headrace's definitions on the same file (inputs not rounded to 8 bits), which both programs approximate.
"""
import argparse, json, os, subprocess, sys, tempfile
import numpy as np
from safetensors.numpy import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
PROMPTS = ["The capital of France is", "Once upon a time, in a small village,", "def fibonacci(n):\n", "Water boils at a temperature of",
           "The three primary colors are", "My favorite season is autumn because", "In 1969, the first human", "2 + 2 =",
           "To make a cup of tea, first", "The mitochondria is the", "Dear Sir or Madam,", "The largest planet in the solar system is",
           "Shakespeare wrote", "import numpy as np\n\n", "A haiku about the sea:\n", "Photosynthesis is the process by which",
           "The quick brown fox", "List the days of the week:", "If it rains tomorrow,", "The difference between a virus and a bacterium is"]


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--llama-cpp", required=True)
    p.add_argument("--headrace", default=os.path.join(HERE, "..", "build", "headrace"))
    p.add_argument("--gen", type=int, default=32)
    p.add_argument("--naive", action="store_true")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peer, build = os.path.join(folder, "peer"), os.path.join(a.llama_cpp, "build", "bin")
        run("g++", "-O2", os.path.join(HERE, "peers", "llamacpp_logits.cpp"), "-I", os.path.join(a.llama_cpp, "include"), "-I",
            os.path.join(a.llama_cpp, "ggml", "include"), "-L", build, f"-Wl,-rpath,{build}", "-lllama", "-lggml", "-lggml-base", "-o", peer)
        lines = []
        for prompt in PROMPTS:
            ids = json.loads(run(a.headrace, "tokenize", a.model, "-p", prompt, "--json"))["tokens"]
            save_file({"input_ids": np.array(ids, np.int64)}, os.path.join(folder, "in.safetensors"))
            run(a.headrace, "run", a.model, "--tokens", os.path.join(folder, "in.safetensors"), "-n", a.gen, "--temp", 0, "--out",
                os.path.join(folder, "out.safetensors"))
            lines.append((len(ids), ids + load_file(os.path.join(folder, "out.safetensors"))["generated"].ravel().tolist()))
        with open(os.path.join(folder, "tokens"), "w") as f:
            f.writelines(" ".join(map(str, ids)) + "\n" for _, ids in lines)
        run(peer, a.model, os.path.join(folder, "tokens"), os.path.join(folder, "logits"))
        raw = np.fromfile(os.path.join(folder, "logits"), np.float32)
        raw = raw.reshape(sum(len(ids) for _, ids in lines), -1)
        forms = {"headrace": []} | ({"headrace, definitions": ["--naive"]} if a.naive else {})
        results = {name: [] for name in forms}
        for name, flags in forms.items():
            rows, at, parted = [], 0, []
            for (given, ids), prompt in zip(lines, PROMPTS):
                save_file({"input_ids": np.array(ids, np.int64)}, os.path.join(folder, "in.safetensors"))
                run(a.headrace, "logits", a.model, "--tokens", os.path.join(folder, "in.safetensors"), "--out", os.path.join(folder, "l.safetensors"), *flags)
                mine = log_softmax(load_file(os.path.join(folder, "l.safetensors"))["logits"][0])
                other = log_softmax(raw[at:at + len(ids)])
                results[name].append(mine)
                at += len(ids)
                for i in range(len(ids) - 1):
                    same = mine[i].argmax() == other[i].argmax()
                    rows.append((abs(mine[i, ids[i + 1]] - other[i, ids[i + 1]]), (np.exp(other[i]) * (other[i] - mine[i])).sum(), same))
                    if i >= given - 1 and not same and not any(q == prompt for q, *_ in parted):
                        best = np.sort(other[i])[-2:]
                        parted.append((prompt, i - given + 1, best[1] - best[0]))
            rows = np.array(rows, float)
            print(f"{name}: {len(rows)} tokens, |log p| difference mean {rows[:, 0].mean():.4f} largest {rows[:, 0].max():.3f}, "
                  f"KL mean {rows[:, 1].mean():.2e}, best token equal {rows[:, 2].mean():.1%}, greedy text equal on {len(PROMPTS) - len(parted)} of {len(PROMPTS)}")
            for prompt, token, margin in parted:
                print(f"  parts at token {token} after {prompt!r}: llama.cpp's best two differ by {margin:.3f}")
        if a.naive:
            mine, exact = (np.concatenate(results[name]) for name in forms)
            print(f"headrace against its definitions: KL mean {(np.exp(exact) * (exact - mine)).sum(-1).mean():.2e}, "
                  f"best token equal {(exact.argmax(-1) == mine.argmax(-1)).mean():.1%}")


main()
