#!/usr/bin/env python3
"""Our tokenizers against the reference implementations on random lines of everything.

    python tests/oracle/make_tokenizer_fixtures.py --headrace build/headrace --texts FOLDER [--lines 10000] [--seed 1]

The lines mix scripts, emoji, code, white space, control and combining characters, numbers, control tokens and broken
UTF-8. FOLDER holds text files to train small vocabularies on (tinystories_valid.txt, wikitext2_raw_test.txt). Prints for
each kind of tokenizer how many lines have equal ids, and writes tests/fixtures/text/tokenizer_lines.json.zst (a sample)
with the trained vocabularies beside it. References: `tokenizers` 0.23, `sentencepiece` 0.2, and for RWKV world the
greedy longest match written here. Broken UTF-8 reaches the references through decode(errors="replace"), but for RWKV,
whose tokens are bytes. Needs the zstd program and gguf 0.19.
"""
import argparse, base64, io, json, os, random, subprocess, sys, tempfile, unicodedata
import gguf
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "fixtures", "text")
ASSETS = os.path.join(HERE, "..", "..", "assets")
RULES = [("ﬁ", "fi"), ("ß", "ss"), ("e\u0301", "é"), ("A\u030a", "Å"), ("\u3000", " "), ("\t", " "), ("\n", " "), ("\u200b", ""), ("…", "..."), ("…!", "!"), ("２", "2"), ("０", "0")]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

STORED = ["gpt2", "gpt-neox-20b", "smollm2 as GGUF", "stories260K .model", "rwkv world", "unigram", "llama 3 style", "qwen style", "words", "sentencepiece unigram, few rules"]

# ---- lines ---------------------------------------------------------------------------------------------------------

RANGES = [(0x41, 0x7B), (0xC0, 0x250), (0x370, 0x400), (0x400, 0x500), (0x531, 0x58A), (0x5D0, 0x5EB), (0x600, 0x700), (0x900, 0x980),
          (0x980, 0xA00), (0xB80, 0xC00), (0xE00, 0xE5C), (0x10A0, 0x1100), (0x1100, 0x1200), (0x1200, 0x1380), (0x13A0, 0x1400),
          (0x1780, 0x17F0), (0x1E00, 0x2000), (0x2070, 0x20C0), (0x2100, 0x2200), (0x2200, 0x2300), (0x2460, 0x2500), (0x3040, 0x3100),
          (0x3400, 0x3500), (0x4E00, 0x9FA6), (0xAC00, 0xD7A4), (0xF900, 0xFA00), (0xFB00, 0xFB50), (0xFE70, 0xFF00), (0xFF01, 0xFF60),
          (0x10330, 0x1034B), (0x1D400, 0x1D500), (0x1F100, 0x1F16C), (0x20000, 0x20100)]
NEW = "\u09fd\u09fe\u061d"  # of the last years, which `tokenizers` does not know yet
EMOJI = ["🙂", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇫🇷🇩🇪", "1️⃣", "❤️", "🫠", "☺", "🧑🏿‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "©", "™"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", " \n ", "\u00a0", "\u3000", "\u2003", "\u200b", "\u2028", "\u0085", "\x0b", "\x0c", "        ", "\ufeff"]
MARKS = ["\u0301", "\u0327\u0301", "\u0301\u0327", "\u05b0", "\u093c", "\u20dd", "\ufe0f", "\u200d", "e\u0301", "\u1100\u1161\u11a8", "A\u030a", "\u212b", "\ufb01", "ǆ", "İ", "ß", "ſ"]
WORDS = ["don't", "I'LL", "we've", "'S", "x's't", "it’s", "hello", " World", "the", "The quick", "CamelCase", "snake_case", "http://a.b/c?d=1&e=%20", "user@mail.com",
         "3.14159", "1,000,000", "0xFF", "1e-10", "½", "²³", "Ⅷ", "٣٤٥", "２０２４", "12345678901234567890", "--", "...", "…", "“quoted”", "«a»", "$€£", "a\\b", "\\n", "#!/bin/sh"]
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>user", "<s>", "</s>", "<unk>", "<pad>", "<0x0A>", "▁", "▁▁a", "<|endoftext|", "|>", "<|extra_1|>"]
BROKEN = [b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x99", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\x80", b"\xf0\x9f", b"\xe2\x28\xa1", b"\xfe\xfe", b"\xf4\x90\x80\x80"]


def characters(rng, count):
    low, high = rng.choice(RANGES)
    out = []
    while len(out) < count:
        c = chr(rng.randrange(low, high))
        if unicodedata.category(c) not in ("Cn", "Cs") and c not in NEW:
            out.append(c)
        elif rng.random() < 0.01:
            low, high = rng.choice(RANGES)
    return "".join(out)


def line(rng, code, prose):
    out = b""
    broken = rng.random() < 0.15
    for _ in range(rng.choice([1, 1, 2, 3, 5, 8, 13, 20])):
        kind = rng.random()
        if kind < 0.25:
            piece = characters(rng, rng.randrange(1, 9))
        elif kind < 0.35:
            piece = rng.choice(EMOJI) * rng.choice([1, 1, 1, 2, 3])
        elif kind < 0.50:
            piece = rng.choice(SPACES) * rng.choice([1, 1, 1, 2, 3, 7])
        elif kind < 0.60:
            piece = rng.choice(MARKS)
        elif kind < 0.75:
            piece = rng.choice(WORDS)
        elif kind < 0.80:
            piece = rng.choice(CONTROL)
        elif kind < 0.85:
            at = rng.randrange(len(code))
            piece = code[at:at + rng.randrange(1, 80)]
        elif kind < 0.95:
            at = rng.randrange(len(prose))
            piece = prose[at:at + rng.randrange(1, 60)]
        elif kind < 0.97:
            piece = rng.choice("a!0 .=-_~é中\u0301") * rng.randrange(1, 60)
        else:
            piece = "".join(chr(rng.randrange(1, 128)) for _ in range(rng.randrange(1, 12)))
        out += piece.encode()
        if rng.random() < 0.5:
            out += b" "
        if broken and rng.random() < 0.4:
            out += rng.choice(BROKEN) if rng.random() < 0.7 else bytes(rng.randrange(1, 256) for _ in range(rng.randrange(1, 6)))
    return out.replace(b"\0", b"\x01")


# ---- references ----------------------------------------------------------------------------------------------------

def unpacked(name):
    return subprocess.run(["zstd", "-d", "-c", os.path.join(ASSETS, "tokenizers", name)], stdout=subprocess.PIPE, check=True).stdout


def byte_level(vocab, merges, *steps, normalizer=None, **options):
    t = Tokenizer(models.BPE(vocab, merges, **options))
    t.pre_tokenizer = pre_tokenizers.Sequence([*steps])
    if normalizer:
        t.normalizer = normalizer
    t.decoder = decoders.ByteLevel()
    return t


def trained_bpe(pattern, corpus, size, normalizer=None, **options):
    t = Tokenizer(models.BPE(**options))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False), AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True)])
    t.add_tokens([AddedToken("<|extra_1|>", normalized=True, lstrip=True), AddedToken("hello", single_word=True)])
    return t


def gguf_vocabulary(path, pre, tokenizer, special=()):
    data = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(data["vocab"], key=data["vocab"].get)
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types([3 if t in special else 1 for t in tokens])
    w.add_token_merges([" ".join(m) for m in data["merges"]])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def llama_json(model):
    """SentencePiece BPE as tokenizer.json says it: every way to cut a piece in two is a merge, ranked by the piece's score."""
    vocab = {model.id_to_piece(i): i for i in range(model.get_piece_size())}
    merges = []
    for piece, i in vocab.items():
        pairs = [(vocab[piece[:k]], vocab[piece[k:]], piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in vocab and piece[k:] in vocab]
        merges += [(model.get_score(i), -a, -b, left, right) for a, b, left, right in pairs]
    merges.sort(key=lambda m: m[:3], reverse=True)
    t = Tokenizer(models.BPE(vocab, [(m[3], m[4]) for m in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("<unk>", "<s>", "</s>")])
    return t


def trained_unigram(corpus, size):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    t.train_from_iterator(corpus, trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    return t


def trained_words(corpus):
    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(False),
                                               pre_tokenizers.Split(Regex(r"\w{4}"), "merged_with_next")])
    t.train_from_iterator(corpus, trainers.WordLevelTrainer(vocab_size=1500, special_tokens=["[UNK]"], show_progress=False))
    return t


def trained_sentencepiece(corpus, size, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model, vocab_size=size, hard_vocab_limit=False,
                                             minloglevel=2, max_sentence_length=100000, **options)
    return model.getvalue()


class RwkvWorld:
    def __init__(self, text):
        self.ids = {}
        for row in text.decode().splitlines():
            i, rest = row.split(" ", 1)
            literal = eval(rest[:rest.rindex(" ")])
            self.ids[literal if isinstance(literal, bytes) else literal.encode()] = int(i)
        self.longest = max(map(len, self.ids))

    def encode(self, data):
        out, at = [], 0
        while at < len(data):
            for n in range(min(self.longest, len(data) - at), 0, -1):
                if data[at:at + n] in self.ids:
                    out.append(self.ids[data[at:at + n]])
                    at += n
                    break
            else:
                at += 1
        return out


def kinds(folder, lines, prose, code):
    """name -> (path for us, arguments, texts -> ids)"""
    def hf(t):
        return lambda texts: [e.ids for e in t.encode_batch([x.decode(errors="replace") for x in texts])]

    def spm(model):
        return lambda texts: [model.encode(x.decode(errors="replace")) for x in texts]

    def save(name, data):
        path = os.path.join(folder, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    out = {}
    encoder, merges_txt = unpacked("gpt2_encoder.json.zst"), unpacked("gpt2_merges.txt.zst")
    os.mkdir(os.path.join(folder, "gpt2"))
    save("gpt2/vocab.json", encoder), save("gpt2/merges.txt", merges_txt)
    merges = [tuple(m.split(" ")) for m in merges_txt.decode().split("\n")[1:] if m]
    gpt2 = byte_level(json.loads(encoder), merges, pre_tokenizers.ByteLevel(False))
    out["gpt2"] = (os.path.join(folder, "gpt2"), ["--plain"], hf(gpt2))
    gguf_vocabulary(os.path.join(folder, "gpt2.gguf"), "gpt-2", gpt2)
    out["gpt2 as GGUF"] = (os.path.join(folder, "gpt2.gguf"), ["--plain"], hf(gpt2))
    neox = save("neox.json", unpacked("gpt_neox_20b_tokenizer.json.zst"))
    out["gpt-neox-20b"] = (neox, [], hf(Tokenizer.from_file(neox)))

    j = json.loads(unpacked("smollm2_vocabulary.json.zst"))
    vocab = {t: i for i, t in enumerate(j["tokenizer.ggml.tokens"])}
    smollm2 = byte_level(vocab, [tuple(m.split(" ")) for m in j["tokenizer.ggml.merges"]],
                         pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False))
    special = [t for t, k in zip(j["tokenizer.ggml.tokens"], j["tokenizer.ggml.token_type"]) if k == 3]
    gguf_vocabulary(os.path.join(folder, "smollm2.gguf"), "smollm", smollm2, special)
    smollm2.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    out["smollm2 as GGUF"] = (os.path.join(folder, "smollm2.gguf"), [], hf(smollm2))

    stories = sentencepiece.SentencePieceProcessor(model_file=os.path.join(ASSETS, "stories260K", "tokenizer.model"))
    out["stories260K .model"] = (os.path.join(ASSETS, "stories260K", "tokenizer.model"), ["--plain"], spm(stories))
    llama = llama_json(stories)
    out["stories260K as tokenizer.json"] = (save("stories.json", llama.to_str().encode()), [], hf(llama))

    world = RwkvWorld(unpacked("rwkv_vocab_v20230424.txt.zst"))
    out["rwkv world"] = (save("world.txt", unpacked("rwkv_vocab_v20230424.txt.zst")), [], lambda texts: [world.encode(x) for x in texts])

    corpus = prose[:300000].split("\n") + [x.decode(errors="ignore").replace("\0", "") for x in lines[:60]]
    corpus = [x for x in corpus if x.strip()]
    unigram = trained_unigram(corpus, 2000)
    out["unigram"] = (save("unigram.json", unigram.to_str().encode()), [], hf(unigram))
    llama3 = trained_bpe(LLAMA3, corpus, 1200, ignore_merges=True)
    out["llama 3 style"] = (save("llama3.json", llama3.to_str().encode()), [], hf(llama3))
    gguf_vocabulary(os.path.join(folder, "llama3.gguf"), "llama-bpe", trained_bpe(LLAMA3, corpus, 1200, ignore_merges=True))
    plain = Tokenizer.from_str(llama3.to_str())
    plain = byte_level(json.loads(llama3.to_str())["model"]["vocab"], [tuple(m) for m in json.loads(llama3.to_str())["model"]["merges"]],
                       pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False), ignore_merges=True)
    out["llama 3 style as GGUF"] = (os.path.join(folder, "llama3.gguf"), ["--plain"], hf(plain))
    words = trained_words(corpus)
    out["words"] = (save("words.json", words.to_str().encode()), [], hf(words))
    qwen = trained_bpe(QWEN, corpus, 1200, normalizer=normalizers.NFC())
    out["qwen style"] = (save("qwen.json", qwen.to_str().encode()), [], hf(qwen))
    sentences = [x for x in corpus if len(x.encode()) < 4000]
    rules = save("rules.tsv", "".join(f"{' '.join(f'{ord(c):X}' for c in a)}\t{' '.join(f'{ord(c):X}' for c in b)}\n" for a, b in RULES).encode())
    for name, options in {"sentencepiece unigram": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", vocab_size=1500, character_coverage=0.995),
                          "sentencepiece unigram, few rules": dict(model_type="unigram", normalization_rule_tsv=rules, vocab_size=900, character_coverage=0.99, byte_fallback=True),
                          "sentencepiece BPE, byte fallback": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                                                                   remove_extra_whitespaces=False, vocab_size=1500)}.items():
        size = options.pop("vocab_size")
        data = trained_sentencepiece(sentences, size, **options)
        out[name] = (save(name.replace(",", "").replace(" ", "_") + ".model", data), ["--plain"], spm(sentencepiece.SentencePieceProcessor(model_proto=data)))
    return out


def ours(headrace, path, arguments, texts):
    r = subprocess.run([headrace, "tokenize", path, "--each", "null", *arguments], input=b"".join(x + b"\0" for x in texts),
                       stdout=subprocess.PIPE, check=True)
    return [[int(i) for i in row.split()] for row in r.stdout.decode().split("\n")[:-1]]


def packed(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(subprocess.run(["zstd", "-19", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--headrace", required=True)
    p.add_argument("--texts", required=True)
    p.add_argument("--lines", type=int, default=10000)
    p.add_argument("--only", help="kinds whose name has this")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    read = lambda name: open(os.path.join(a.texts, name), encoding="utf-8").read()
    prose = read("tinystories_valid.txt")[:200000] + read("wikitext2_raw_test.txt")[:400000]
    code = open(os.path.abspath(__file__), encoding="utf-8").read() + open(argparse.__file__, encoding="utf-8").read()
    rng = random.Random(a.seed)
    lines = [line(rng, code, prose) for _ in range(a.lines)]
    sample, stored = lines[:60], {"lines": [base64.b64encode(x).decode() for x in lines[:60]], "ids": {}}
    keep = {"words": "words.json.zst", "unigram": "unigram.json.zst", "llama 3 style": "llama3_style.json.zst", "qwen style": "qwen_style.json.zst",
            "sentencepiece unigram, few rules": "sentencepiece_unigram.model.zst"}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, arguments, reference) in kinds(folder, lines, prose, code).items():
            if a.only and a.only not in name:
                continue
            want, got = reference(lines), ours(a.headrace, path, arguments, lines)
            differ = [i for i in range(len(lines)) if i >= len(got) or got[i] != want[i]]
            failed += len(differ)
            print(f"{name}: {len(lines) - len(differ)} of {len(lines)} lines equal, {sum(map(len, want))} tokens", flush=True)
            for i in differ[:10]:
                print("   ", lines[i], "\n    want", want[i][:60], "\n    got ", got[i][:60] if i < len(got) else None)
            if name in STORED:
                stored["ids"][name] = {"plain": "--plain" in arguments, "ids": want[:len(sample)]}
            if name in keep:
                packed(keep[name], open(path, "rb").read())
    if not a.only:
        packed("tokenizer_lines.json.zst", json.dumps(stored).encode())
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
