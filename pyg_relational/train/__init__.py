"""Training of every recipe by one Lightning module and one data module.

Nothing is imported before it is used: the command line lists recipes without torch.
"""

from typing import TYPE_CHECKING

from pyg_relational._extras import attributes_of

if TYPE_CHECKING:
    from pyg_relational.train.datamodule import RelationalDataModule
    from pyg_relational.train.fit import evaluate, train
    from pyg_relational.train.module import RelationalModule
    from pyg_relational.train.recipe import allow, configure, load_recipe
    from pyg_relational.train.run_folder import load_model, read_config

__all__ = [
    "RelationalDataModule",
    "RelationalModule",
    "allow",
    "configure",
    "evaluate",
    "load_model",
    "load_recipe",
    "read_config",
    "train",
]

__getattr__, __dir__ = attributes_of(
    __name__,
    {
        "RelationalDataModule": "datamodule",
        "RelationalModule": "module",
        "allow": "recipe",
        "configure": "recipe",
        "evaluate": "fit",
        "load_model": "run_folder",
        "load_recipe": "recipe",
        "read_config": "run_folder",
        "train": "fit",
    },
)
