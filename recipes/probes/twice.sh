#!/bin/sh
# Just read twice: two sets of 2 and 12 of 60 elements, one of them in both, which is to be named; the long set second or (swap) first, read
# once or twice (repeat).
# Expected (accuracy): gla: short first >= 0.98, long first 0.93 .. 0.99, read twice within 0.08 of read once. Attention has not learned the order with
# the short set first in these steps: the answer is further away.
# Measured (mean of 3 seeds +- 95 %; best of the three):
#   gla swap=off repeat=1               0.995 +- 0.006   best 0.996
#   gla swap=on repeat=1                0.973 +- 0.017   best 0.980
#   gla swap=off repeat=2               0.990 +- 0.008   best 0.994
#   gla swap=on repeat=2                0.949 +- 0.157   best 0.996
#   gated_delta_net swap=off repeat=1   0.557 +- 0.392   best 0.660
#   gated_delta_net swap=on repeat=1    0.918 +- 0.143   best 0.975
#   gated_delta_net swap=off repeat=2   0.527 +- 0.743   best 0.797
#   gated_delta_net swap=on repeat=2    0.945 +- 0.138   best 0.980
#   attn swap=off repeat=1              0.752 +- 0.076   best 0.773
#   attn swap=on repeat=1               0.986 +- 0.022   best 0.996
#   attn swap=off repeat=2              0.791 +- 0.088   best 0.824
#   attn swap=on repeat=2               0.996 +- 0.013   best 1.000
# Cost: 36 cells, 642 s of one core of an Intel Xeon that other programs shared.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe disjoint --set V=64 --set first=2 --set second=12 --results "$RESULTS" \
  --blueprint 'd=32 2*(gla(heads=1, key=8, value=16) + swiglu)' \
  --blueprint 'd=32 2*(gated_delta_net(heads=1, key=8, value=16) + swiglu)' \
  --blueprint 'd=32 2*(lfm2_conv + swiglu, attn(heads=1, rope=0) + swiglu)' \
  --grid swap=off,on --grid repeat=1,2 --grid rate=5e-3 --steps 3000 --batch 32 --seeds 3 --every 100 --samples 512 --until 0.99 "$@"
