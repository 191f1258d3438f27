"""Trained models to share: a folder or a repository with a card, or a program."""

from typing import TYPE_CHECKING

from pyg_relational._extras import attributes_of

if TYPE_CHECKING:
    from pyg_relational.hub.export import export_model
    from pyg_relational.hub.share import (
        SharedModel,
        load_pretrained,
        push_to_hub,
        save_pretrained,
    )

__all__ = [
    "SharedModel",
    "export_model",
    "load_pretrained",
    "push_to_hub",
    "save_pretrained",
]

# Sharing needs packages of extras.
__getattr__, __dir__ = attributes_of(
    __name__, dict.fromkeys(__all__, "share") | {"export_model": "export"}
)
