#!/bin/sh
# A chain of thought: the parity of 11 bits by attention, with nothing before the answer, with as many dots as there would be steps, with
# the steps themselves.
# Expected (accuracy of the answer; chance 0.5): steps >= 0.99; none and dots <= 0.6
# Measured (mean of 3 seeds +- 95 %, at the rate with the best median; best of all 6 cells):
#   attn trace=none                 0.442 +- 0.061   best 0.461
#   attn trace=dots                 0.501 +- 0.066   best 0.520
#   attn trace=steps                1.000 +- 0.000   best 1.000
# Cost: 18 cells, 178 s of one core of an Intel Xeon, 16 at once.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe parity --set min=12 --set max=12 --results "$RESULTS/thought" \
  --blueprint 'd=32 2*(attn(heads=2) + swiglu)' \
  --grid trace=none,dots,steps --grid rate=1e-3,3e-3 --steps 3000 --batch 32 --seeds 3 --every 100 --samples 512 --until 0.999 "$@"
