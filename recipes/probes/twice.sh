#!/bin/sh
# Just read twice: which element do two sets share? The short set first, or last, and the input read once or twice.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
for order in "4 24" "24 4"; do
  set -- $order
  "$HEADRACE" probe disjoint --set V=128 --set first=$1 --set second=$2 --results "$RESULTS/first$1" \
    --blueprint 'd=64 2*linear_attn(heads=1, kv=1, key=16, value=64, conv=4, feature=identity)' \
    --blueprint 'd=64 2*mamba(state=8)' \
    --blueprint 'd=64 lfm2_conv, attn(heads=1, dim=64, rope=0)' \
    --grid repeat=1,2 --grid rate=3e-3 --steps 1500 --batch 32 --seeds 3 --every 250 --samples 512 --until 0.99
done
