#!/bin/sh
# Copying, and positions: strings of 3..10 of 26 letters, tested on those and on 11..20. The positions of attention: none, rotary, ALiBi; half
# of the heads in a window of 4 (as Hard-ALiBi, whose heads see the last 1, 2, 3 ... tokens); a short convolution before attention.
# Expected (accuracy of letters as trained, at 11..20; chance 1/26), at one rate:
#   attention                   >= 0.93   conv >= 0.95, window >= 0.75, alibi 0.5 to 0.8, none 0.25 to 0.45, rotary <= 0.45
#   mamba, lstm                 below attention; <= 0.50
# Measured (mean of 3 seeds +- 95 %):
#   attn without positions      0.950 +- 0.004   0.333 +- 0.033
#   attn, rotary                0.997 +- 0.010   0.188 +- 0.232
#   attn, ALiBi                 0.998 +- 0.008   0.668 +- 0.176
#   attn, windows beside all    0.982 +- 0.015   0.850 +- 0.102
#   convolution, then attn      0.995 +- 0.002   0.984 +- 0.005   one layer of attention
#   mamba                       0.446 +- 0.399   0.133 +- 0.083
#   lstm                        0.922 +- 0.020   0.427 +- 0.018
# Cost: 21 cells, 211 s of one core of an AMD EPYC (6 to 15 s each), shared with others.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe copy --set min=3 --set max=10 --results "$RESULTS" \
  --blueprint 'd=64 2*(attn(heads=4, rope=0) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4, rope=0, alibi=on) + swiglu)' \
  --blueprint 'd=64 2*((attn(heads=2, rope=0, window=4) | attn(heads=2, rope=0))(fuse=sum) + swiglu)' \
  --blueprint 'd=64 lfm2_conv, attn(heads=2, rope=0) + swiglu' \
  --blueprint 'd=64 2*mamba' \
  --blueprint 'd=64 2*lstm' \
  --steps 800 --batch 32 --rate 3e-3 --seeds 3 --every 100 --samples 256 --until 0.995 \
  --test '' --test min=11,max=20 "$@"
