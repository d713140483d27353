#!/bin/sh
# Copying, and positions: strings of 3..10 of 26 letters, tested on those and on 11..20. The positions of attention: none, rotary, ALiBi; half
# of the heads in a window of 4 (as Hard-ALiBi, whose heads see the last 1, 2, 3 ... tokens); a short convolution before attention.
# Expected (accuracy of letters as trained, at 11..20; chance 1/26):
#   attention                       >= 0.98   convolution >= 0.95, windows >= 0.80, ALiBi 0.45 to 0.80, none 0.20 to 0.45, rotary <= 0.40
#   mamba, lstm                     >= 0.90   <= 0.60
# Measured (mean of 3 seeds +- 95 %, at the rate with the best median; best of all 6 cells):
#   attn, no positions              0.992 +- 0.004  0.261 +- 0.056   best 0.993, 0.318
#   attn, rotary                    0.996 +- 0.002  0.148 +- 0.083   best 0.999, 0.335
#   attn, ALiBi                     0.995 +- 0.005  0.608 +- 0.157   best 0.998, 0.670
#   attn, windows beside all        0.997 +- 0.004  0.926 +- 0.049   best 0.998, 0.949
#   convolution, then attn          0.994 +- 0.001  0.980 +- 0.005   best 0.995, 0.982
#   mamba                           0.985 +- 0.036  0.370 +- 0.169   best 0.994, 0.440
#   lstm                            0.985 +- 0.006  0.493 +- 0.073   best 0.987, 0.520
# Cost: 42 cells, 655 s of one core of an Intel Xeon, 16 at once.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe copy --set min=3 --set max=10 --results "$RESULTS" \
  --blueprint 'd=64 2*(attn(heads=4, rope=0) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4, rope=0, alibi=on) + swiglu)' \
  --blueprint 'd=64 2*((attn(heads=2, rope=0, window=4) | attn(heads=2, rope=0))(fuse=sum) + swiglu)' \
  --blueprint 'd=64 lfm2_conv, attn(heads=2, rope=0) + swiglu' \
  --blueprint 'd=64 2*mamba' \
  --blueprint 'd=64 2*lstm' \
  --grid rate=1e-3,3e-3 --steps 2400 --batch 32 --seeds 3 --every 100 --samples 256 --until 0.995 \
  --test '' --test min=11,max=20 "$@"
