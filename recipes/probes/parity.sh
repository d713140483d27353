#!/bin/sh
# Parity of bit strings: trained on 3..20 symbols (the answer included), tested on those, on 21..40 and on 81..160.
# Expected (accuracy as trained, at 21..40, at 81..160; chance 0.5):
#   lstm, slstm                     >= 0.99  >= 0.99  >= 0.95
#   rwkv7(twice=on), one layer      >= 0.99  >= 0.99  >= 0.95   eigenvalues in [-1, 1]; two layers learn it in most runs
#   delta_net(twice=on)             >= 0.99  >= 0.95  >= 0.65   eigenvalues in [-1, 1]
#   rwkv7                           at most 0.90 at 21..40, chance at 81..160: its negative eigenvalues fade
#   delta_net, mamba, attn          <= 0.65 at 21..40, <= 0.55 at 81..160: what is learned is by heart
# Measured (mean of 3 seeds +- 95 %, at the rate with the best median; best of all 6 cells):
#   lstm                            1.000 +- 0.000  1.000 +- 0.000  1.000 +- 0.000   best 1.000, 1.000, 1.000
#   slstm                           1.000 +- 0.000  0.999 +- 0.003  0.996 +- 0.010   best 1.000, 1.000, 1.000
#   delta_net(twice=on)             1.000 +- 0.000  0.991 +- 0.015  0.764 +- 0.076   best 1.000, 1.000, 0.949
#   rwkv7(twice=on), one layer      1.000 +- 0.000  1.000 +- 0.000  0.999 +- 0.003   best 1.000, 1.000, 1.000
#   rwkv7(twice=on), two layers     0.979 +- 0.092  0.978 +- 0.070  0.831 +- 0.553   best 1.000, 1.000, 1.000
#   rwkv7                           0.999 +- 0.003  0.815 +- 0.203  0.509 +- 0.058   best 1.000, 0.906, 0.531
#   delta_net                       0.953 +- 0.049  0.600 +- 0.056  0.490 +- 0.058   best 0.975, 0.627, 0.506
#   mamba                           0.812 +- 0.487  0.564 +- 0.093  0.496 +- 0.017   best 0.992, 0.609, 0.500
#   attn, no positions              0.437 +- 0.067  0.505 +- 0.100  0.501 +- 0.023   best 0.473, 0.553, 0.512
# Cost: 54 cells, 514 s of one core of an Intel Xeon, 16 at once.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe parity --set max=20 --results "$RESULTS" \
  --blueprint 'd=32 lstm' \
  --blueprint 'd=32 slstm(heads=2)' \
  --blueprint 'd=32 2*delta_net(heads=2, key=16, value=16, twice=on)' \
  --blueprint 'd=64 rwkv7(heads=4, twice=on)' \
  --blueprint 'd=32 2*rwkv7(heads=2, twice=on)' \
  --blueprint 'd=32 2*rwkv7(heads=2)' \
  --blueprint 'd=32 2*delta_net(heads=2, key=16, value=16)' \
  --blueprint 'd=32 2*mamba' \
  --blueprint 'd=32 2*(attn(heads=2, rope=0) + swiglu)' \
  --grid rate=3e-3,1e-2 --steps 3000 --batch 64 --seeds 3 --every 100 --samples 512 --until 0.999 \
  --test '' --test min=21,max=40 --test min=81,max=160 "$@"
