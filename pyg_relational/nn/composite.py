"""What is composed of parts."""

from torch import nn
from torch_geometric.nn.inits import reset


class Composite(nn.Module):
    r"""A module without parameters of its own."""

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module, part by part."""
        for part in self.children():
            reset(part)
