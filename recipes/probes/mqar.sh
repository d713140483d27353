#!/bin/sh
# Multi-query associative recall, 16 pairs in 64 tokens, 128 values: attention behind one short convolution, and two layers of linear
# attention whose state is key x 64 numbers each.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe mqar --set V=256 --set L=64 --set pairs=16 --results "$RESULTS" \
  --blueprint 'd=64 2*linear_attn(heads=1, kv=1, key={key}, value=64, conv=4, feature=identity)' --grid key=2,4,16,64 \
  --blueprint 'd=64 lfm2_conv, attn(heads=1, dim=64, rope=0)' \
  --grid rate=3e-3 --steps 1500 --batch 32 --seeds 3 --every 250 --samples 256 --until 0.99 "$@"
