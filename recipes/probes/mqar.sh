#!/bin/sh
# Multi-query associative recall, 12 pairs in 64 tokens, 128 values: one short convolution, then attention, or linear attention whose state
# is key x 64 numbers.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe mqar --set V=256 --set L=64 --set pairs=12 --results "$RESULTS" \
  --blueprint 'd=64 lfm2_conv, attn(heads=1, dim=64, rope=0)' \
  --blueprint 'd=64 lfm2_conv, linear_transformer(heads=1, key={key}, value=64)' --grid key=4,8,16,32,64 \
  --grid rate=3e-3,1e-2 --steps 1500 --batch 32 --seeds 3 --every 250 --samples 256 --until 0.99 "$@"
