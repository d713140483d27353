#!/bin/sh
# Locality: the share of its weights that attention gives to a token and the three before it (near), after training on a source of order 2
# (8 symbols, 64 tokens; one layer). Weights that are all the same have 0.23.
# Expected (near; accuracy, chance 1/8):
#   attn with rope                      near >= 0.8
#   attn without positions, linear ones near <= 0.35   a token cannot tell the one before it from the others
#   linear_attn(conv=4)                 near <= 0.35, accuracy above all others': the convolution has taken the near tokens on itself
# Measured (mean of 3 seeds +- 95 %):
#   attn                                near 0.896   accuracy 0.452 +- 0.093   loss 1.529
#   attn without positions              near 0.299   accuracy 0.299 +- 0.126   loss 1.843
#   linear_transformer (elu + 1, normalised)  0.248  accuracy 0.310 +- 0.130   loss 1.833
#   linear_attn (elu + 1)               near 0.266   accuracy 0.308 +- 0.121   loss 1.835
#   linear_attn with a convolution      near 0.237   accuracy 0.543 +- 0.087   loss 1.366
# Cost: 15 cells, 42 s of one core of an AMD EPYC, shared with others.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe markov --set L=64 --results "$RESULTS" \
  --blueprint 'd=32 attn(heads=2)' \
  --blueprint 'd=32 attn(heads=2, rope=0)' \
  --blueprint 'd=32 linear_transformer(heads=2)' \
  --blueprint 'd=32 linear_attn(heads=2, key=16, value=16, conv=0, feature=elu)' \
  --blueprint 'd=32 linear_attn(heads=2, key=16, value=16, conv=4, feature=elu)' \
  --steps 600 --batch 16 --rate 1e-2 --seeds 3 --every 300 --samples 256 --until 2 "$@"
