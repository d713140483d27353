#!/bin/sh
# Flip-flops: 16 instructions of which 80 % are to be ignored, tested on those and on 64; the bit that was written last is to be read.
# Expected (accuracy as trained, on 64; chance 0.5): lstm, mamba >= 0.99 on both; attention <= 0.80 on 64, whatever it is as trained
# Measured (mean of 3 seeds +- 95 %, at the rate with the best median; best of all 6 cells):
#   lstm                            1.000 +- 0.000  1.000 +- 0.000   best 1.000, 1.000
#   mamba                           1.000 +- 0.001  0.999 +- 0.005   best 1.000, 1.000
#   attn, no positions              0.901 +- 0.030  0.723 +- 0.022   best 0.913, 0.751
#   attn, rotary                    1.000 +- 0.000  0.710 +- 0.064   best 1.000, 0.738
# Cost: 24 cells, 171 s of one core of an Intel Xeon, 16 at once.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe flip_flop --set L=32 --results "$RESULTS" \
  --blueprint 'd=32 lstm' \
  --blueprint 'd=32 2*mamba' \
  --blueprint 'd=32 2*(attn(heads=4, rope=0) + swiglu)' \
  --blueprint 'd=32 2*(attn(heads=4) + swiglu)' \
  --grid rate=3e-3,1e-2 --steps 2000 --batch 32 --seeds 3 --every 100 --samples 512 --until 0.999 \
  --test '' --test L=128 "$@"
