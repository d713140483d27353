#!/bin/sh
# Loss by position on text, beyond the trained length: trained on 64 bytes of stories, tested on other stories: 64 bytes, 1,024 (carry), and
# the same stretches begun anew every 64 bytes (reset). --positions prints it in powers of two.
# Expected (nats a byte at 32..63, at 512..1,023): rotary positions 1.2 to 1.5, over 2.5; without positions it rises by 0.2 or more; ALiBi, a
# window and Mamba stay within 0.1
# Measured (one seed; at 32..63, 64..127, 128..255, 256..511, 512..1,023 of carry; all of reset):
#   attn, rotary             1.339  1.465  2.654  3.340  3.517   1.343
#   attn without positions   1.997  2.153  2.226  2.324  2.389   2.017
#   attn, ALiBi              1.473  1.538  1.498  1.542  1.528   1.482
#   attn, rotary, window=32  1.323  1.369  1.323  1.367  1.346   1.322
#   mamba                    1.241  1.289  1.225  1.280  1.254   1.230
# Cost: 5 cells, 210 s of one core of an AMD EPYC, shared with others.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
here=$(cd "$(dirname "$0")/.." && pwd)
exec "$HEADRACE" probe text --set file="$here/data/tinystories_train.txt.zst" --set L=64 --results "$RESULTS" --positions \
  --blueprint 'd=64 2*(attn(heads=4) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4, rope=0) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4, rope=0, alibi=on) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4, window=32) + swiglu)' \
  --blueprint 'd=64 2*mamba' \
  --steps 600 --batch 32 --rate 3e-3 --seeds 1 --every 600 --samples 64 --until 2 \
  --test file="$here/data/tinystories_valid.txt.zst" \
  --test file="$here/data/tinystories_valid.txt.zst",L=1024 \
  --test file="$here/data/tinystories_valid.txt.zst",L=1024,reset=64 "$@"
