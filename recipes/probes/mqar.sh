#!/bin/sh
# Multi-query associative recall, 16 pairs in 64 tokens, 128 values: attention behind one short convolution, and two layers of linear
# attention whose state is key x 64 numbers each.
# Expected (accuracy; chance 1/128):
#   attn >= 0.9, linear_attn key=64 >= 0.95, key=2 <= 0.3: recall grows with the state
# Measured (mean of 3 seeds +- 95 %):
#   attn                       0.965 +- 0.120   0.909, 0.992, 0.994: one seed is not done after these steps
#   linear_attn, key=64        0.992 +- 0.012
#   linear_attn, key=2         0.203 +- 0.039   at a rate of 1e-2 0.226, 0.220, 0.093
#   linear_attn, key=4         0.090, 0.441: two seeds alone were run
# Cost: 9 cells, 143 s of one core of an AMD EPYC, on a machine that was shared.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe mqar --set V=256 --set L=64 --set pairs=16 --results "$RESULTS" \
  --blueprint 'd=64 2*linear_attn(heads=1, kv=1, key={key}, value=64, conv=4, feature=identity)' --grid key=2,64 \
  --blueprint 'd=64 lfm2_conv, attn(heads=1, dim=64, rope=0)' \
  --grid rate=3e-3 --steps 1500 --batch 32 --seeds 3 --every 250 --samples 256 --until 0.99 "$@"
