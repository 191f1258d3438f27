"""Every public layer and model against a table of bad inputs.

The parts are those of tests/parts.py.
"""

import inspect

import pytest
from parts import PARTS

from pyg_relational import models
from pyg_relational import nn as layers
from pyg_relational.testing import BAD_INPUTS
from pyg_relational.testing.bad_inputs import recorded, tensor_arguments

# Takes texts, see tests/nn/test_text_encoder.py.
NO_TENSORS = {"Sets", "TextEncoder"}


@pytest.mark.parametrize("kind", BAD_INPUTS)
@pytest.mark.parametrize("part", PARTS)
def test_bad_inputs(part: str, kind: str) -> None:
    BAD_INPUTS[kind](PARTS[part])


@pytest.mark.parametrize("part", PARTS)
def test_every_argument_is_tried(part: str) -> None:
    arguments = {name for name, *_ in tensor_arguments(recorded(PARTS[part]))}
    for kind in ("dimensions", "dtype", "device"):
        assert arguments <= set(BAD_INPUTS[kind](PARTS[part]))
    features = {"x", "h", "x_i", "image"} & arguments
    assert features or arguments <= {"sentence", "question", "position"}, arguments


def test_every_public_part_is_covered() -> None:
    built = {type(part.build()).__name__ for part in PARTS.values()}
    for package in (layers, models):
        for name in package.__all__:
            if inspect.isclass(getattr(package, name)):
                assert name in built | NO_TENSORS, f"{name} is in no table of parts"
