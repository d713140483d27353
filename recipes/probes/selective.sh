#!/bin/sh
# Selective copying: 4 of 8 symbols anywhere among 11 blanks, to be said in order; what decides what to keep must see the token.
# Expected (accuracy, chance 1/8; whole samples): mamba >= 0.98, >= 0.94; s4d below it. So short a sequence does not break s4d, as 4,096
# tokens do (18 % in the Mamba paper): two layers with a gate between them see the token.
# Measured (mean of 3 seeds +- 95 %, at the rate with the best median; best of all 6 cells):
#   s4d                             0.968 +- 0.008   whole 0.887   best 0.970
#   mamba                           0.996 +- 0.004   whole 0.983   best 0.998
# Cost: 12 cells, 61 s of one core of an Intel Xeon, 16 at once.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe selective_copy --set V=10 --set L=20 --set n=4 --set kind=spread --results "$RESULTS" \
  --blueprint 'd=32 2*s4d' \
  --blueprint 'd=32 2*mamba' \
  --grid rate=3e-3,1e-2 --steps 2000 --batch 32 --seeds 3 --every 100 --samples 512 --until 0.99 "$@"
