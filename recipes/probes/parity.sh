#!/bin/sh
# Parity of bit strings: trained on 3..20 symbols (the answer included), tested on those, on 21..40 and on 81..160.
# Expected (accuracy as trained, at 21..40, at 81..160; chance 0.5):
#   lstm, slstm                >= 0.99  >= 0.95  >= 0.90    at the better rate; one cell in two to four does not set out at the other
#   delta_net(twice=on)        >= 0.95  >= 0.80  >= 0.50    eigenvalues in [-1, 1]
#   delta_net, mamba           <= 0.85  <= 0.58  <= 0.58    in [0, 1]; what is above chance is of the shortest strings
#   rwkv7, attn                <= 0.60  <= 0.58  <= 0.58    rwkv7's are above w - 1 > -0.46
# Measured (mean of 3 seeds +- 95 %, at the rate with the best median; best of all 6 cells):
#   lstm                       1.000 +- 0.000  0.999 +- 0.006  0.979 +- 0.066   rate 3e-3; at 1e-2 two seeds of three
#   slstm                      1.000 +- 0.000  0.999 +- 0.003  0.993 +- 0.031   rate 1e-2; at 3e-3 one seed of three
#   delta_net(twice=on)        0.990 +- 0.042  0.941 +- 0.203  0.677 +- 0.633   best 1.000, 1.000, 0.959; five of six cells learn it
#   rwkv7(twice=on)            0.605 +- 0.750  0.669 +- 0.654  0.569 +- 0.297   best 0.953, 0.971, 0.707: one of six cells learns it
#   rwkv7                      0.457 +- 0.037  0.493 +- 0.080  0.496 +- 0.017   best 0.578, 0.553, 0.500
#   delta_net                  0.749 +- 0.109  0.504 +- 0.090  0.493 +- 0.039   best 0.791, 0.531, 0.510
#   mamba                      0.699 +- 0.092  0.529 +- 0.049  0.528 +- 0.037   best 0.734, 0.549, 0.541
#   attn without positions     0.445 +- 0.068  0.522 +- 0.086  0.496 +- 0.017   best 0.473, 0.553, 0.500
# Cost: 48 cells, 386 s of one core of an AMD EPYC (1 to 2 s an lstm or slstm, which stop early; 6 to 13 s the others), shared with others.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe parity --set max=20 --results "$RESULTS" \
  --blueprint 'd=32 lstm' \
  --blueprint 'd=32 slstm(heads=2)' \
  --blueprint 'd=32 2*delta_net(heads=2, key=16, value=16, twice=on)' \
  --blueprint 'd=32 2*rwkv7(heads=2, twice=on)' \
  --blueprint 'd=32 2*rwkv7(heads=2)' \
  --blueprint 'd=32 2*delta_net(heads=2, key=16, value=16)' \
  --blueprint 'd=32 2*mamba' \
  --blueprint 'd=32 2*(attn(heads=2, rope=0) + swiglu)' \
  --steps 1000 --batch 64 --grid rate=3e-3,1e-2 --seeds 3 --every 100 --samples 512 --until 0.999 \
  --test '' --test min=21,max=40 --test min=81,max=160 "$@"
