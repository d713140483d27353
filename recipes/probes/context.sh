#!/bin/sh
# Loss by position on text, beyond the trained length: trained on 64 bytes of stories, tested on stretches of 64 and of 1,024 of other stories, and
# on the long ones begun anew every 64 bytes.
# Expected (loss in nats a byte): rotary attention and attention without positions are worse on 1,024 by more than half a nat than begun anew;
#   ALiBi, a window and mamba are no worse, or better
# Measured (losses: mean of 3 seeds; on 64, on 1,024, begun anew):
#   attn, rotary                    1.155  3.465  1.136
#   attn, no positions              1.740  2.332  1.719
#   attn, ALiBi                     1.259  1.222  1.241
#   attn, rotary, window 32         1.161  1.104  1.138
#   mamba                           1.166  1.107  1.141
# Cost: 15 cells, 950 s of one core of an Intel Xeon, 16 at once.
: "${HEADRACE:=headrace}" "${RESULTS:=probe-results}"
here=${RECIPES:-$(cd "$(dirname "$0")/.." && pwd)}
exec "$HEADRACE" probe text --set file="$here/data/tinystories_train.txt.zst" --set L=64 --positions --results "$RESULTS" \
  --blueprint 'd=64 2*(attn(heads=4) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4, rope=0) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4, rope=0, alibi=on) + swiglu)' \
  --blueprint 'd=64 2*(attn(heads=4, window=32) + swiglu)' \
  --blueprint 'd=64 2*mamba' \
  --grid rate=3e-3 --steps 1500 --batch 32 --seeds 3 --every 500 --samples 64 --until 2 \
  --test file="$here/data/tinystories_valid.txt.zst" \
  --test file="$here/data/tinystories_valid.txt.zst",L=1024 \
  --test file="$here/data/tinystories_valid.txt.zst",L=1024,reset=64 "$@"
