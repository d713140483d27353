#!/bin/sh
# Parity of bit strings: trained on 3..40 symbols (the answer included), tested on those, on 41..80 and on 161..256.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
exec "$HEADRACE" probe parity --results "$RESULTS" \
  --blueprint 'd=32 lstm' \
  --blueprint 'd=32 2*delta_net(heads=2, key=16, value=16, twice=on)' \
  --blueprint 'd=32 2*(attn(heads=2, rope=0) + swiglu)' \
  --blueprint 'd=32 2*mamba' \
  --blueprint 'd=32 2*delta_net(heads=2, key=16, value=16)' \
  --steps 2000 --batch 64 --grid rate=3e-3,1e-2 --seeds 3 --every 250 --samples 512 --until 0.999 \
  --test '' --test min=41,max=80 --test min=161,max=256 "$@"
