#!/usr/bin/env python3
"""Inputs, outputs and gradients of the operators with a vector as state and of cells (src/run/op_diag_scan.cc).

    OMP_NUM_THREADS=1 python tests/oracle/make_vector_state_fixtures.py

tests/fixtures/ops/NAME@gradients.*: as make_op_fixtures.py's, with `d_<output>` for every output among the inputs and `grad.<input>` among what
is expected. Everything is torch's autograd in float64 over the plain recurrences; LSTM and GRU are torch.nn's.
"""
import importlib.util, json, math, os
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

here = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("ops", os.path.join(here, "make_op_fixtures.py"))
ops = importlib.util.module_from_spec(spec); spec.loader.exec_module(ops)

def cell(kind, states):
    def run(x, **w):
        layers = sum(n.startswith("weight_hh") for n in w); hidden = w["weight_hh_l0"].shape[1]
        m = kind(x.shape[2], hidden, layers, batch_first=True).double()
        first = [w[s + "0"] for s in states if s + "0" in w]
        first = None if not first else first[0] if len(states) == 1 else tuple(first)
        o, last = torch.func.functional_call(m, {n: v for n, v in w.items() if n[1:] != "0"}, (x, first))
        last = (last,) if len(states) == 1 else last
        return dict(o=o, **{s + "_n": v for s, v in zip(states, last)})
    return run
lstm, gru = cell(torch.nn.LSTM, "hc"), cell(torch.nn.GRU, "h")

def slstm(x, recurrent, bias):                                     # x [B,T,4,H,P], recurrent [H,P,4,P], bias [H,4,P]; gates i, f, z, o
    b, t, _, heads, p = x.shape; h = c = n = m = torch.zeros(b, heads, p).double(); out = []
    for s in range(t):
        pre = x[:, s] + (torch.einsum("bhi,higo->bhgo", h, recurrent) + bias).transpose(1, 2)
        i, f, z, o = pre.unbind(1); decayed = m + F.logsigmoid(f)
        top = i if s == 0 else torch.maximum(i, decayed)
        grown, kept = torch.exp(i - top), torch.exp(decayed - top)
        c, n, m = kept * c + grown * torch.tanh(z), kept * n + grown, top
        h = torch.sigmoid(o) * c / n; out.append(h)
    return dict(o=torch.stack(out, 1), c=c, n=n, m=m)

def s5(u, Lambda_re, Lambda_im, B, C, D, log_step):
    lam, step, C, B = torch.complex(Lambda_re, Lambda_im), torch.exp(log_step[:, 0]), torch.view_as_complex(C), torch.view_as_complex(B)
    def scan(factor, drive):
        x, out = 0, []
        for t in range(u.shape[1]): x = factor * x + u[:, t].to(torch.complex128) @ (drive[:, None] * B).T; out.append(2 * (x @ C.T).real + D * u[:, t])
        return torch.stack(out, 1)
    p = torch.exp(lam * step); half = lam * step / 2
    return dict(o=scan(p, (p - 1) / lam), bilinear=scan((1 + half) / (1 - half), step / (1 - half)))

def cases():
    d = ops.Draw(3); b, t = 2, 37; table = {}
    def weights(gates, inner, width, layers):
        w = {}
        for l in range(layers):
            w[f"weight_ih_l{l}"] = d.normal(gates * width, inner if l == 0 else width, sd=0.4); w[f"weight_hh_l{l}"] = d.normal(gates * width, width, sd=0.4)
            w[f"bias_ih_l{l}"] = d.normal(gates * width, sd=0.4); w[f"bias_hh_l{l}"] = d.normal(gates * width, sd=0.4)
        return w
    table["lstm"] = (lstm, dict(x=d.normal(b, t, 5), **weights(4, 5, 7, 1), h0=d.normal(1, b, 7), c0=d.normal(1, b, 7)), dict(layers=1))
    table["lstm@two_layers"] = (lstm, dict(x=d.normal(b, t, 5), **weights(4, 5, 7, 2)), dict(layers=2))
    table["gru"] = (gru, dict(x=d.normal(b, t, 5), **weights(3, 5, 7, 1), h0=d.normal(1, b, 7)), dict(layers=1))
    table["gru@two_layers"] = (gru, dict(x=d.normal(b, t, 5), **weights(3, 5, 7, 2), h0=d.normal(2, b, 7)), dict(layers=2))
    table["slstm"] = (slstm, dict(x=d.normal(b, t, 4, 2, 5), recurrent=d.normal(2, 5, 4, 5, sd=0.4), bias=d.normal(2, 4, 5)), {})
    table["s5"] = (s5, dict(u=d.normal(b, t, 6), Lambda_re=-d.uniform(5, a=0.2, b=0.8), Lambda_im=d.normal(5, sd=4.0), B=d.normal(5, 6, 2, sd=0.4),
                            C=d.normal(6, 5, 2, sd=0.4), D=d.normal(6), log_step=d.uniform(5, 1, a=math.log(1e-3), b=math.log(0.3))), dict(conj_sym=True))
    table["hgrn"] = (ops.hgrn, dict(x=d.normal(b, t, 9), g=F.logsigmoid(d.normal(b, t, 9)).float().double(), h0=d.normal(b, 9)), {})
    nu = torch.log(-torch.log(d.uniform(6, a=0.6, b=0.99))).float().double()
    table["lru"] = (ops.lru, dict(u=d.normal(b, t, 5), nu_log=nu, theta_log=torch.log(d.uniform(6, a=0.05, b=3.1)).float().double(), B_re=d.normal(6, 5, sd=0.2),
                                  B_im=d.normal(6, 5, sd=0.2), C_re=d.normal(5, 6, sd=0.3), C_im=d.normal(5, 6, sd=0.3), D=d.normal(5),
                                  gamma_log=(0.5 * torch.log1p(-torch.exp(-2 * torch.exp(nu)))).float().double()), {})
    table["rg_lru"] = (ops.rg_lru, dict(x=d.normal(b, t, 6), recurrent_param=d.normal(6, mean=-2.0), input_gate_weight=d.normal(2, 3, 3, sd=0.4), input_gate_bias=d.normal(2, 3),
                                        recurrent_gate_weight=d.normal(2, 3, 3, sd=0.4), recurrent_gate_bias=d.normal(2, 3)), {})
    table["mamba_selective_scan"] = (ops.selective_scan, dict(u=d.normal(b, t, 7), delta=d.normal(b, t, 7), A=(-torch.exp(d.uniform(7, 3, a=-2, b=1.5))).float().double(),
        B=d.normal(b, t, 3), C=d.normal(b, t, 3), D=d.normal(7), z=d.normal(b, t, 7), delta_bias=d.normal(7, sd=0.5, mean=-1.0)), dict(delta_softplus=True))
    table["rwkv4_wkv"] = (ops.wkv4, dict(w=d.uniform(7, a=-5, b=1), u=d.normal(7, sd=0.5), k=d.normal(b, t, 7), v=d.normal(b, t, 7)), {})
    return table, d

if __name__ == "__main__":
    torch.set_num_threads(1)
    table, d = cases()
    for name, (f, i, p) in table.items():
        leaves = {n: x.clone().requires_grad_() for n, x in i.items()}
        o = f(**leaves); dy = {n: d.normal(*y.shape) for n, y in o.items()}
        sum((o[n] * dy[n]).sum() for n in o).backward()
        given = {**i, **{"d_" + n: x for n, x in dy.items()}}
        expected = {**{n: y.detach() for n, y in o.items()}, **{"grad." + n: x.grad for n, x in leaves.items()}}
        assert all(x.isfinite().all() for x in expected.values()), name
        base = os.path.join(ops.OUT, name + ("" if "@" in name else "@gradients"))
        note = dict(made=json.dumps(dict(seed=3, computed_in="float64")))
        save_file({n: x.detach().float().contiguous().clone() for n, x in given.items()}, base + ".in.safetensors", metadata=note)
        save_file({n: x.float().contiguous().clone() for n, x in expected.items()}, base + ".expected.safetensors", metadata=note)
        json.dump(p, open(base + ".params.json", "w")); open(base + ".params.json", "a").write("\n")
        print(f"{name:24s} {sum(os.path.getsize(base + e) for e in ('.in.safetensors', '.expected.safetensors')):7d} bytes  {' '.join(o)}")
