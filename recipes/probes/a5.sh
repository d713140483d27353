#!/bin/sh
# Products of even permutations of five points (A5, 60 elements, not solvable): words of the identity and the twenty three-cycles (moved=3, Grazzi et
# al. 2024, 2411.12537), trained on 1..12 of them, tested on those and on 13..24 and 49..96. A three-cycle is two reflections, which one
# of the delta rule cannot be and a product of two is.
# Expected (accuracy of positions as trained, at 13..24, at 49..96; chance 1/60):
#   gated_delta_product             >= 0.99  >= 0.96  >= 0.45   two reflections a token, one layer
#   lstm                            >= 0.99  >= 0.94  >= 0.55
#   delta_net(twice=on)             <= 0.45  <= 0.20  <= 0.10   one reflection a token
#   mamba, attn                     <= 0.75  <= 0.40  <= 0.15
# Measured (mean of 3 seeds +- 95 %, at the rate with the best median; best of the three):
#   lstm                            0.999 +- 0.005  0.974 +- 0.033  0.736 +- 0.184   best 1.000, 0.982, 0.819
#   gated_delta_product             0.999 +- 0.001  0.984 +- 0.004  0.645 +- 0.210   best 1.000, 0.995, 0.832
#   delta_net(twice=on)             0.348 +- 0.036  0.141 +- 0.004  0.048 +- 0.002   best 0.363, 0.145, 0.049
#   mamba                           0.671 +- 0.024  0.296 +- 0.015  0.088 +- 0.008   best 0.683, 0.303, 0.090
#   attn, no positions              0.533 +- 0.059  0.223 +- 0.016  0.070 +- 0.004   best 0.559, 0.230, 0.071
# Of words of all sixty elements (--set moved=0 --steps 4000, 947 s) nobody learns it: lstm 0.487 +- 0.366 as trained, mamba 0.468 +- 0.337,
# gated_delta_product 0.284 +- 0.032, attn 0.214 +- 0.109. There are 3,600 products to see, a hundred times S3's.
# Cost: 30 cells, 752 s of one core of an Intel Xeon that other programs shared.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe words --set group=A5 --set moved=3 --set min=1 --set max=12 --results "$RESULTS/a5" \
  --blueprint 'd=128 lstm' \
  --blueprint 'd=128 gated_delta_product(heads=4, key=32, value=32, conv=0)' \
  --blueprint 'd=128 delta_net(heads=4, key=32, value=32, conv=0, twice=on)' \
  --blueprint 'd=128 2*mamba' \
  --blueprint 'd=128 2*(attn(heads=4, rope=0) + swiglu)' \
  --grid rate=1e-3,3e-3 --steps 3000 --batch 32 --seeds 3 --every 100 --samples 256 --until 0.999 --decay 0 \
  --test '' --test min=13,max=24 --test min=49,max=96 "$@"
