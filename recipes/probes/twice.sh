#!/bin/sh
# Just read twice: two sets of 4 and 16 of 60 elements, one of them in both, which is to be named; the long set second or (swap) first, read
# once or twice (repeat).
# Expected (accuracy): linear attention: short first not below long first, and both orders the same where they are read twice; within 0.15 of each
# other. That attention does not mind the order is the literature's; it has not learned the task in these steps.
# Measured (mean of 3 seeds +- 95 %, at the rate with the best median; best of all 6 cells):
#   linear_attn swap=off repeat=1   0.673 +- 0.077   best 0.709
#   linear_attn swap=off repeat=2   0.643 +- 0.092   best 0.684
#   linear_attn swap=on repeat=1   0.608 +- 0.056   best 0.660
#   linear_attn swap=on repeat=2   0.647 +- 0.072   best 0.672
#   attn swap=off repeat=1          0.576 +- 0.051   best 0.596
#   attn swap=off repeat=2          0.589 +- 0.039   best 0.604
#   attn swap=on repeat=1           0.621 +- 0.030   best 0.631
#   attn swap=on repeat=2           0.681 +- 0.128   best 0.736
# Cost: 48 cells, 527 s of one core of an Intel Xeon, 16 at once.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe disjoint --set V=64 --set first=4 --set second=16 --results "$RESULTS" \
  --blueprint 'd=64 2*linear_attn(heads=1, kv=1, key=8, value=64, conv=4, feature=identity)' \
  --blueprint 'd=64 lfm2_conv, attn(heads=1, rope=0)' \
  --grid swap=off,on --grid repeat=1,2 --grid rate=3e-3,1e-2 --steps 2000 --batch 32 --seeds 3 --every 100 --samples 512 --until 0.99 "$@"
