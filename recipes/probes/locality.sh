#!/bin/sh
# Locality: the share of its weights that attention gives to a token and the three before it (near), after training on a source of order 2
# (8 symbols, 64 tokens; one layer). Weights that are all the same have 0.23.
# Expected (near; accuracy, chance 1/8):
#   attn with rope                      near >= 0.8
#   attn without positions, linear ones near <= 0.35   a token cannot tell the one before it from the others
#   linear_attn(conv=4)                 near <= 0.35, accuracy above all others': the convolution has taken the near tokens on itself
# Measured (mean of 3 seeds +- 95 %):
#   attn, rotary                    near 0.898   accuracy 0.455 +- 0.070   loss 1.528
#   attn, no positions              near 0.295   accuracy 0.310 +- 0.121   loss 1.833
#   linear_transformer              near 0.258   accuracy 0.314 +- 0.128   loss 1.828
#   linear_attn                     near 0.266   accuracy 0.312 +- 0.130   loss 1.826
#   linear_attn(conv=4)             near 0.238   accuracy 0.554 +- 0.081   loss 1.330
# Cost: 15 cells, 58 s of one core of an Intel Xeon, 16 at once.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe markov --set L=64 --results "$RESULTS" \
  --blueprint 'd=32 attn(heads=2)' \
  --blueprint 'd=32 attn(heads=2, rope=0)' \
  --blueprint 'd=32 linear_transformer(heads=2)' \
  --blueprint 'd=32 linear_attn(heads=2, key=16, value=16, conv=0, feature=elu)' \
  --blueprint 'd=32 linear_attn(heads=2, key=16, value=16, conv=4, feature=elu)' \
  --grid rate=1e-2 --steps 1200 --batch 16 --seeds 3 --every 300 --samples 256 --until 2 "$@"
