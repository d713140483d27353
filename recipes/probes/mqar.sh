#!/bin/sh
# Multi-query associative recall, 16 pairs in 64 tokens, 128 values: two layers of linear attention whose state is key x 64 numbers each, and
# attention behind one short convolution.
# Expected (accuracy; chance 1/128): attn >= 0.98; linear_attn grows with the state: key=2 <= 0.3, key=4 0.2 to 0.6, key=16 0.5 to 0.95, 64 >= 0.95
# Measured (mean of 3 seeds +- 95 %):
#   linear_attn key=2               0.129 +- 0.232
#   linear_attn key=4               0.380 +- 0.202
#   linear_attn key=16              0.819 +- 0.417
#   linear_attn key=64              0.993 +- 0.006
#   attn                            0.994 +- 0.004   at 3e-3 too (0.995, 0.995, 0.997); after 1,500 steps 0.03 to 0.99
# Cost: 12 cells, 208 s of one core of an Intel Xeon, 16 at once, and of attention 6 cells, 308 s of one core of an AMD EPYC, shared.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
task="mqar --set V=256 --set L=64 --set pairs=16 --seeds 3 --every 250 --samples 256 --until 0.99"
"$HEADRACE" probe $task --results "$RESULTS" --steps 1500 --batch 32 --grid rate=3e-3 --grid key=2,4,16,64 \
  --blueprint 'd=64 2*linear_attn(heads=1, kv=1, key={key}, value=64, conv=4, feature=identity)' "$@"
exec "$HEADRACE" probe $task --results "$RESULTS/attention" --steps 3000 --batch 32 --grid rate=1e-3,3e-3 \
  --blueprint 'd=64 lfm2_conv, attn(heads=1, dim=64, rope=0)' "$@"
