"""What the door refuses. Without a second pass under shapes: there, some of this is refused by the types."""

import pytest
import torch
from torch import Tensor

from analytic import others, pictures, spatial
from rather.errors import RatherError
from rather.methods.wachter import Wachter

GOOD = pictures(2)


@pytest.mark.parametrize(
    ("code", "x", "target"),
    [
        ("DATA-SHAPE", GOOD[0], 0),
        ("DATA-SHAPE", GOOD[:, :, :5], 0),
        ("DATA-SHAPE", GOOD.repeat(1, 3, 1, 1), 0),
        ("DATA-NONFINITE", GOOD * 255, 0),
        ("DATA-NONFINITE", GOOD - 0.5, 0),
        ("DATA-NONFINITE", GOOD / 0, 0),
        ("CFG-CLASS", GOOD, 3),
        ("CFG-CLASS", GOOD, -1),
        ("CFG-CLASS", GOOD, torch.tensor([0, 1, 2])),
        ("GOAL-REACHED", GOOD, spatial()(GOOD).argmax(1)),
    ],
)
def test_bad_input_is_refused_in_one_line(code: str, x: Tensor, target: Tensor | int) -> None:
    with pytest.raises(RatherError) as error:
        Wachter()(spatial(), x, target)
    assert error.value.code == code
    assert "\n" not in str(error.value)


def test_ids_must_be_one_for_each_row() -> None:
    with pytest.raises(RatherError) as error:
        Wachter()(spatial(), GOOD, others(spatial(), GOOD), ids=["only one"])
    assert error.value.code == "CFG-OPTIONS"


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(RatherError) as error:
        Wachter()(spatial(), GOOD, others(spatial(), GOOD), seed=-1)
    assert error.value.code == "CFG-SETTING"
