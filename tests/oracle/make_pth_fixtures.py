"""Writes tests/fixtures/pth/module.pth: a module's state dict by torch.save, with what such files can hold.

python tests/oracle/make_pth_fixtures.py   (torch 2.11.0)
"""
import pathlib

import torch

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "pth"


class Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        values = torch.arange(12, dtype=torch.float32)
        self.weight = torch.nn.Parameter(values.view(3, 4))
        self.register_buffer("tied", self.weight.detach())
        self.register_buffer("halves", torch.tensor([1.5, -2.0], dtype=torch.float16))
        self.register_buffer("part", self.weight.detach()[1:])
        self.register_buffer("steps", torch.tensor([1, 1 << 40]))
        self.register_buffer("scalar", torch.tensor(3.0))
        self.register_buffer("none", torch.zeros(0, 4))


OUT.mkdir(exist_ok=True)
state = Module().state_dict()
state["weight"] = torch.nn.Parameter(state["weight"])       # pickled as a parameter, as optimizers' files have them
torch.save(state, OUT / "module.pth")
