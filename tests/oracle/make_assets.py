#!/usr/bin/env python3
"""Converts small trained models of other projects into the forms that headrace opens.

    python tests/oracle/make_assets.py DATA [--all OUT]

DATA holds stories260K/ (llama2.c's binary and tokenizer) and rwkv-tiny/ (rwkv.cpp's binaries), as assets/README.md names
them. Needs numpy and safetensors. Writes

    assets/stories260K, assets/rwkv7-tiny                 what ships
    tests/fixtures/tiny/{rwkv4,rwkv5.1,rwkv5.2}           models in official names, float32
    tests/fixtures/tiny/NAME.expected.safetensors         published logits, greedy bytes or tokens

and with --all OUT also the models that are too large for the repository: rwkv6-q5_0, rwkv6-q5_1, rwkv7-q5_0, rwkv7-q5_1,
their blocks decoded to float32.
"""
import argparse, json, pathlib, shutil, struct
import numpy as np
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures/tiny"


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


# ---- llama2.c ----

def read_llama2c(path):
    data = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocab, context = struct.unpack("<7i", data[:28])
    at, head = 28, dim // heads

    def take(*shape):
        nonlocal at
        n = int(np.prod(shape))
        a = np.frombuffer(data, "<f4", n, at).reshape(shape)
        at += 4 * n
        return a

    def half_split(w, n):       # rows of a head: adjacent pairs (2i, 2i+1) rotate in the file, (i, i + head/2) in config.json's model
        return w.reshape(n, head // 2, 2, dim).swapaxes(1, 2).reshape(n * head, dim)

    w = {"model.embed_tokens.weight": take(vocab, dim)}
    names = [("input_layernorm", (dim,)), ("self_attn.q_proj", (dim, dim)), ("self_attn.k_proj", (kv_heads * head, dim)),
             ("self_attn.v_proj", (kv_heads * head, dim)), ("self_attn.o_proj", (dim, dim)), ("post_attention_layernorm", (dim,)),
             ("mlp.gate_proj", (hidden, dim)), ("mlp.down_proj", (dim, hidden)), ("mlp.up_proj", (hidden, dim))]
    for name, shape in names:
        for l, a in enumerate(take(layers, *shape)):
            a = half_split(a, heads) if "q_proj" in name else half_split(a, kv_heads) if "k_proj" in name else a
            w[f"model.layers.{l}.{name}.weight"] = np.ascontiguousarray(a)
    w["model.norm.weight"] = take(dim)
    assert vocab > 0 and at + 2 * 4 * context * head // 2 == len(data)
    config = dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=vocab, hidden_size=dim, intermediate_size=hidden,
                  num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=context,
                  rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu", tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
                  torch_dtype="float32")
    return config, w


def read_pieces(path):
    data, at = path.read_bytes(), 4
    while at < len(data):
        score, length = struct.unpack_from("<fi", data, at)
        yield score, data[at + 8: at + 8 + length]
        at += 8 + length


def sentencepiece_model(pieces):
    """The protocol-buffer message of SentencePiece's .model: pieces, a BPE trainer, an identity normaliser that puts a space in front."""
    def varint(n):
        out = b""
        while n > 127: out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])
    number = lambda field, n: varint(field << 3) + varint(n)
    block = lambda field, b: varint(field << 3 | 2) + varint(len(b)) + b
    out = b""
    for i, (score, text) in enumerate(pieces):
        kind = 2 if i == 0 else 3 if i < 3 else 6 if i < 259 else 1          # unknown, control, byte, normal
        text = [b"<unk>", b"<s>", b"</s>"][i] if i < 3 else text.replace(b" ", "▁".encode())
        out += block(1, block(1, text) + varint(2 << 3 | 5) + struct.pack("<f", score) + (number(3, kind) if kind != 1 else b""))
    trainer = number(3, 2) + number(4, i + 1) + number(35, 1) + number(40, 0) + number(41, 1) + number(42, 2)
    normalizer = block(1, b"identity") + number(3, 1) + number(4, 0) + number(5, 1)
    return out + block(2, trainer) + block(3, normalizer)


def stories(data):
    out = ROOT / "assets/stories260K"
    out.mkdir(parents=True, exist_ok=True)
    config, w = read_llama2c(data / "stories260K.bin")
    write_json(out / "config.json", config)
    save_file(w, out / "model.safetensors", {"format": "pt"})
    (out / "tokenizer.model").write_bytes(sentencepiece_model(list(read_pieces(data / "tok512.bin"))))
    reference = json.loads((data / "reference.json").read_text())
    save_file({"input_ids": np.array([[reference["bos"]]]), "generated": np.array([reference["greedy_token_ids"]]),
               "text": np.frombuffer(reference["text"].encode(), np.uint8),
               "first_logits": np.array(reference["logits_pos0_first16"], np.float32)[None]}, FIXTURES / "stories260K.expected.safetensors")


# ---- rwkv.cpp ----

def read_rwkv(path):
    data = path.read_bytes()
    magic, version, vocab, width, layers, _ = struct.unpack("<6i", data[:24])
    assert magic == 0x67676d66 and version in (100, 101)
    at, w = 24, {}
    while at < len(data):
        rank, length, kind = struct.unpack_from("<3i", data, at)
        shape = struct.unpack_from(f"<{rank}i", data, at + 12)[::-1]
        at += 12 + 4 * rank
        name, n = data[at: at + length].decode(), int(np.prod(shape))
        size = {0: 4 * n, 1: 2 * n, 7: n // 32 * 22, 8: n // 32 * 24}[kind]
        raw = data[at + length: at + length + size]
        at += length + size
        if kind < 2:
            a = np.frombuffer(raw, "<f4" if kind == 0 else "<f2").astype(np.float32)
        else:
            b = np.frombuffer(raw, np.uint8).reshape(n // 32, -1)
            head = 2 if kind == 7 else 4
            scale = b[:, :head].copy().view("<f2").astype(np.float32)
            high = (b[:, head: head + 4].copy().view("<u4") >> np.arange(32, dtype=np.uint32) & 1).astype(np.uint8) << 4
            q = (np.concatenate([b[:, head + 4:] & 15, b[:, head + 4:] >> 4], 1) | high).astype(np.float32)
            a = (q - 16) * scale[:, :1] if kind == 7 else q * scale[:, :1] + scale[:, 1:]
        w[name] = a.reshape(shape)
    return w


def official(w):
    """Undoes what rwkv.cpp's converter did; returns the version and the checkpoint's own names and shapes."""
    has = lambda name: "blocks.0.att." + name in w
    version = "7" if has("r_k") else "6" if has("time_maa_x") else "5.2" if has("gate.weight") else "5.1" if has("ln_x.weight") else "4"
    width, out = w["emb.weight"].shape[1], {}
    log = lambda a: np.log(a.astype(np.float64))
    for name, a in w.items():
        base = name.split(".")[-1]
        if base == "time_decay" and version == "4": a = log(-a)
        elif base == "time_decay" and version in ("5.1", "5.2"): a = log(-log(a))
        elif base == "time_first" and version == "5.1": a = log(a)
        if base in ("time_maa_w1", "time_decay_w1", "time_decay_w2", "w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"): a = a.T
        if base == "time_maa_w2": a = a.swapaxes(1, 2)
        if base.startswith(("time_mix_", "time_maa_")) and a.ndim == 1: a = a.reshape(1, 1, width)
        if base in ("time_decay", "time_faaaa", "time_first"):
            a = a.reshape((1, 1, width) if version == "6" and base == "time_decay" else (a.shape[0],) if version in ("4", "5.1") else a.shape[:2])
        if base == "x_rwkvag":
            for letter, row in zip("rwkvag", a): out[name[:-6] + letter] = row.reshape(1, 1, width)
            continue
        out[name] = a
    return version, {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in out.items()}


def save_bf16(w, path):
    """safetensors with BF16 data, for float32 values that are BF16 values."""
    header, blob = {"__metadata__": {"format": "pt"}}, b""
    for name in sorted(w):
        bits = w[name].view("<u4")
        assert not (bits & 0xFFFF).any(), name
        data = (bits >> 16).astype("<u2").tobytes()
        header[name] = dict(dtype="BF16", shape=list(w[name].shape), data_offsets=[len(blob), len(blob) + len(data)])
        blob += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)


def config_of(version, w):
    layers = 1 + max(int(k.split(".")[1]) for k in w if k.startswith("blocks."))
    config = dict(model_type="rwkv" if version == "4" else "rwkv" + version[0], vocab_size=w["emb.weight"].shape[0],
                  hidden_size=w["emb.weight"].shape[1], num_hidden_layers=layers)
    if version[0] == "5": config["head_size_divisor"] = 1       # these two were made before the heads' output was divided by 8
    return config


def byte_tokenizer():
    """tokenizer.json of a vocabulary that is the 256 byte values, in GPT-2's alphabet for bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    letter = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
    return dict(version="1.0", truncation=None, padding=None, added_tokens=[], normalizer=None, pre_tokenizer=level, post_processor=None, decoder=level,
                model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=False,
                           byte_fallback=False, ignore_merges=False, vocab={letter[b]: b for b in range(256)}, merges=[]))


def expected(data, model, logits, name):
    reference = json.loads((data / "numpy_reference.json").read_text())[model]
    save_file({"input_ids": np.frombuffer(reference["prompt"].encode(), np.uint8).astype(np.int64)[None],
               "logits": np.frombuffer((data / logits).read_bytes(), "<f4")[None],
               "first_logits": np.array(reference["logits_after_each_prompt_byte_first8"], np.float32),
               "generated": np.frombuffer(reference["greedy_60_bytes"].encode("latin-1"), np.uint8).astype(np.int64)[None]},
              FIXTURES / f"{name}.expected.safetensors")


def rwkv(data, everything):
    for name, file in (("rwkv4", "4v0-660K"), ("rwkv5.1", "5v1-730K"), ("rwkv5.2", "5v2-730K"), ("rwkv7-tiny", "7v0-834K")):
        model = f"tiny-rwkv-{file}-FP32.bin"
        version, w = official(read_rwkv(data / model))
        out = (ROOT / "assets" if version == "7" else FIXTURES) / name
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "config.json", config_of(version, w))
        if version == "7":
            save_bf16(w, out / "model.safetensors")
            (out / "tokenizer.json").write_text(json.dumps(byte_tokenizer(), indent=1) + "\n")
            shutil.copyfile(data / "LICENSE", out / "LICENSE")
        else:
            save_file(w, out / "model.safetensors", {"format": "pt"})
        expected(data, model, f"expected-logits-{file}.bin", name)
    shutil.copyfile(data / "LICENSE", FIXTURES / "LICENSE")
    for name, file in (("rwkv6-q5_0", "6v0-3m-Q5_0"), ("rwkv6-q5_1", "6v0-3m-Q5_1"), ("rwkv7-q5_0", "7v0-834K-Q5_0"), ("rwkv7-q5_1", "7v0-834K-Q5_1")):
        if everything:
            version, w = official(read_rwkv(data / f"tiny-rwkv-{file}.bin"))
            (everything / name).mkdir(parents=True, exist_ok=True)
            write_json(everything / name / "config.json", config_of(version, w))
            save_file(w, everything / name / "model.safetensors", {"format": "pt"})


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("data", type=pathlib.Path)
    a.add_argument("--all", type=pathlib.Path, metavar="OUT")
    a = a.parse_args()
    FIXTURES.mkdir(parents=True, exist_ok=True)
    stories(a.data / "stories260K")
    rwkv(a.data / "rwkv-tiny", a.all)
