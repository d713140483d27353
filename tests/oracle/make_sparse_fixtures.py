#!/usr/bin/env python3
"""Layers of sparse attention for the parity law of mixers, as make_mixer_fixtures.py has others.

    OMP_NUM_THREADS=1 python tests/oracle/make_sparse_fixtures.py        tests/fixtures/mixers/NAME.safetensors

Longformer and Reformer: transformers' own attention modules, float64. BigBird: its blocks as a mask, without random ones, since
transformers' are all block 0 outside of training and count it twice.
"""
import os, sys
sys.modules["fla"] = None
import torch
import transformers as T
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "mixers")
N, D, H = 48, 24, 2
g = torch.Generator().manual_seed(4)
normal = lambda *s, sd=1.0: (sd * torch.randn(s, generator=g)).float().double()

def keep(name, mixer, options, parameters, f):
    x = normal(N, D).requires_grad_(); trained = {"x": x, **{n: p.requires_grad_() for n, p in parameters.items() if n != "rotations"}}
    y = f(x[None])[0]; dy = normal(N, D); grads = torch.autograd.grad(y, list(trained.values()), dy)
    tensors = dict(parameters, x=x, y=y, dy=dy, **{"grad." + n: g for n, g in zip(trained, grads) if g.norm() > 1e-5})   # no softmax depends on a bias of keys; longformer has its own in float32
    save_file({n: t.detach().float().contiguous().clone() for n, t in tensors.items()}, os.path.join(OUT, name + ".safetensors"), metadata=dict(mixer=mixer, options=options.replace(" ", ", "), layer="0", layers="1", transformers=T.__version__))
    print(name, os.path.getsize(os.path.join(OUT, name + ".safetensors")))

def drawn(module):
    for p in module.parameters(): p.data = normal(*p.shape, sd=1.5 * p.shape[-1] ** -0.5)
    return module

def longformer(name, globals):
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention
    m = drawn(LongformerSelfAttention(T.LongformerConfig(hidden_size=D, num_attention_heads=H, attention_window=[8]), 0).double()).eval()
    w, b = normal(D, D, sd=D**-0.5), normal(D); mask = torch.zeros(1, N).double(); mask[:, :globals] = 1e4
    parameters = {"self." + n: p for n, p in m.named_parameters() if globals or "global" not in n}
    keep(name, "longformer", f"heads={H} window=4 global={globals}", {**parameters, "output.dense.weight": w, "output.dense.bias": b},
         lambda x: m(x, attention_mask=mask, is_index_masked=mask < 0, is_index_global_attn=mask > 0, is_global_attn=globals > 0)[0] @ w.T + b)

def reformer(name, rounds, buckets, chunk, decoder):
    from transformers.models.reformer.modeling_reformer import LSHSelfAttention
    c = T.ReformerConfig(hidden_size=D, num_attention_heads=H, attention_head_size=D // H, num_hashes=rounds, num_buckets=buckets, lsh_attn_chunk_length=chunk, is_decoder=decoder, hash_seed=3,
                         lsh_attention_probs_dropout_prob=0.0, axial_pos_embds=False, max_position_embeddings=N)
    m = drawn(LSHSelfAttention(c, 0).double()).eval(); w = normal(D, D, sd=D**-0.5)
    torch.manual_seed(3); rotations = torch.randn(H, D // H, rounds, buckets // 2, dtype=torch.float64)
    keep(name, "reformer", f"heads={H} chunk={chunk} rounds={rounds} buckets={buckets} causal={'on' if decoder else 'off'}",
         {"self_attention.query_key.weight": m.query_key.weight, "self_attention.value.weight": m.value.weight, "output.dense.weight": w, "rotations": rotations.flatten(2)},
         lambda x: m(x).hidden_states @ w.T)

def bigbird():
    p = {f"self.{n}.{t}": normal(*s, sd=D**-0.5) for n in ("query", "key", "value") for t, s in (("weight", (D, D)), ("bias", (D,)))}
    w, b, block = normal(D, D, sd=D**-0.5), normal(D), 5; i = torch.arange(N) // block; last = (N - 1) // block
    mask = (i[:, None] - i).abs() <= 1; mask = mask | (i == 0) | (i == last) | (i == 0)[:, None] | (i == last)[:, None]
    def f(x):
        q, k, v = ((x @ p[f"self.{n}.weight"].T + p[f"self.{n}.bias"]).unflatten(-1, (H, -1)) for n in ("query", "key", "value"))
        a = (torch.einsum("bihd,bjhd->bhij", q, k) * (D // H) ** -0.5).masked_fill(~mask, -torch.inf).softmax(-1)
        return torch.einsum("bhij,bjhd->bihd", a, v).flatten(2) @ w.T + b
    keep("bigbird", "bigbird", f"heads={H} block={block} random=0", {**p, "output.dense.weight": w, "output.dense.bias": b}, f)

os.makedirs(OUT, exist_ok=True)
longformer("longformer", 3); longformer("longformer_no_global", 0)
reformer("reformer", 1, 8, 8, True); reformer("reformer_rounds", 3, 4, 8, True); reformer("reformer_both_ways", 2, 4, 8, False); reformer("reformer_short", 2, 4, 48, True)
bigbird()
