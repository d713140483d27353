"""Makes tests/fixtures/blocks_<type>.safetensors: random stored blocks and the values the `gguf` package reads from them.

    python tests/oracle/make_block_fixtures.py        (needs: pip install gguf numpy safetensors)

Every byte is random; only the f16 scales are kept finite, since a NaN's bits are nobody's promise.
"""
import pathlib

import gguf
import numpy
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import save_file

# byte offsets of the f16 numbers in a block
HALVES = {"q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q2_k": [80, 82], "q3_k": [108],
          "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208], "iq4_nl": [0], "iq4_xs": [0]}
out = pathlib.Path(__file__).parent.parent / "fixtures"
out.mkdir(exist_ok=True)
random = numpy.random.default_rng(7)
for name, halves in HALVES.items():
    kind = Q[name.upper()]
    size, bytes_ = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (4096 // size, bytes_), dtype=numpy.uint8)
    for at in halves:
        exponent = blocks[:, at + 1] & 0x7C
        blocks[:, at + 1] ^= numpy.where(exponent == 0x7C, 0x40, 0).astype(numpy.uint8)
    values = gguf.quants.dequantize(blocks.reshape(-1), kind).astype(numpy.float32)
    save_file({"blocks": blocks.reshape(-1), "values": values.reshape(-1)}, out / f"blocks_{name}.safetensors")
