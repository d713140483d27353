#!/bin/sh
# Products of permutations of five points (S5, 120 elements, not solvable): words of the identity and the ten swaps (moved=2, Grazzi et al. 2024,
# 2411.12537), trained on 1..12 of them, tested on those and on 13..24 and 49..96; every position is scored. A swap is one reflection.
# Expected (accuracy of positions as trained, at 13..24, at 49..96; chance 1/120):
#   delta_net(twice=on)             >= 0.99  >= 0.98  >= 0.85   one layer, one reflection a token, learned in some hundred steps
#   rwkv7(twice=on), one layer      >= 0.99  >= 0.96  >= 0.55
#   lstm                            >= 0.99  >= 0.95  >= 0.55
#   slstm                           >= 0.98  >= 0.90  >= 0.50
#   rwkv7 as published              >= 0.85  <= 0.85  <= 0.30   eigenvalues above w - 1
#   delta_net                       <= 0.65  <= 0.35  <= 0.15   eigenvalues in [0, 1]
#   mamba, attn                     <= 0.90  <= 0.50  <= 0.15
# Measured (mean of 3 seeds +- 95 %, at the rate with the best median; best of the three):
#   lstm                            0.999 +- 0.003  0.983 +- 0.006  0.748 +- 0.059   best 1.000, 0.986, 0.769
#   slstm                           0.998 +- 0.008  0.964 +- 0.092  0.721 +- 0.453   best 1.000, 0.998, 0.924
#   delta_net(twice=on)             1.000 +- 0.002  0.999 +- 0.003  0.961 +- 0.157   best 1.000, 1.000, 1.000
#   rwkv7(twice=on)                 1.000 +- 0.002  0.992 +- 0.032  0.803 +- 0.499   best 1.000, 1.000, 0.965
#   delta_net                       0.537 +- 0.055  0.238 +- 0.017  0.066 +- 0.003   best 0.562, 0.245, 0.067
#   rwkv7                           0.978 +- 0.070  0.740 +- 0.237  0.207 +- 0.071   best 0.995, 0.804, 0.226
#   mamba                           0.836 +- 0.015  0.430 +- 0.009  0.115 +- 0.003   best 0.841, 0.434, 0.117
#   attn, no positions              0.672 +- 0.053  0.306 +- 0.009  0.085 +- 0.003   best 0.695, 0.309, 0.086
# Cost: 48 cells, 797 s of one core of an Intel Xeon that other programs shared.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe words --set group=S5 --set moved=2 --set min=1 --set max=12 --results "$RESULTS/s5" \
  --blueprint 'd=128 lstm' \
  --blueprint 'd=128 slstm(heads=4)' \
  --blueprint 'd=128 delta_net(heads=4, key=32, value=32, conv=0, twice=on)' \
  --blueprint 'd=128 rwkv7(heads=4, twice=on)' \
  --blueprint 'd=128 delta_net(heads=4, key=32, value=32, conv=0)' \
  --blueprint 'd=128 rwkv7(heads=4)' \
  --blueprint 'd=128 2*mamba' \
  --blueprint 'd=128 2*(attn(heads=4, rope=0) + swiglu)' \
  --grid rate=1e-3,3e-3 --steps 3000 --batch 32 --seeds 3 --every 100 --samples 256 --until 0.999 --decay 0 \
  --test '' --test min=13,max=24 --test min=49,max=96 "$@"
