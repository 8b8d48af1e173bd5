"""What the door refuses. Without a second pass under shapes: there, some of this is refused by the types."""

from types import SimpleNamespace
from typing import Any, final

import pytest
import torch
from torch import Tensor

from analytic import others, pictures, spatial
from rather.config.errors import RatherError
from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.methods.wachter import Wachter
from rather.search.references import References

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
        ("CFG-CLASS", GOOD, torch.tensor([1])),
        ("CFG-CLASS", GOOD, torch.tensor([[0, 1]])),
        ("CFG-CLASS", GOOD, torch.tensor([0.5, 1.0])),
        ("CFG-CLASS", GOOD, [0, 1, 2]),
        ("CFG-CLASS", GOOD, [[0], [1, 2]]),
        ("CFG-CLASS", GOOD, ["left", "rihgt"]),
        ("CFG-CLASS", GOOD, "lfet"),
        ("CFG-CLASS", GOOD, "3"),
        ("CFG-CLASS", GOOD, None),
        ("CFG-CLASS", GOOD, object()),
        ("DATA-SHAPE", torch.tensor(1.0), 0),
        ("DATA-SHAPE", GOOD.numpy(), 0),
    ],
)
def test_bad_input_is_refused_in_one_line(code: str, x: Tensor, target: Any) -> None:
    with pytest.raises(RatherError) as error:
        Wachter()(spatial(), x, target)
    assert error.value.code == code
    assert "\n" not in str(error.value)


def test_a_bare_net_is_to_be_wrapped() -> None:
    with pytest.raises(RatherError, match=r"rather\.Classifier") as error:
        Wachter()(torch.nn.Flatten(), GOOD, 0)
    assert error.value.code == "MODEL-INPUT"


def test_ids_must_be_one_for_each_row() -> None:
    with pytest.raises(RatherError) as error:
        Wachter()(spatial(), GOOD, others(spatial(), GOOD), ids=["only one"])
    assert error.value.code == "CFG-OPTIONS"


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(RatherError) as error:
        Wachter()(spatial(), GOOD, others(spatial(), GOOD), seed=-1)
    assert error.value.code == "CFG-SETTING"


@pytest.mark.parametrize("given", [{"ids": ("a",)}, {"ids": ("a", "b"), "labels": torch.zeros(3).long()}])
def test_references_have_one_id_and_label_each(given: dict[str, Any]) -> None:
    with pytest.raises(RatherError) as error:
        References(pictures(2), **given)
    assert error.value.code == "CFG-OPTIONS"


@final
class Careless(Method):
    """Brings back whatever it was given."""

    found: object
    """What to bring back."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Nothing to search for."""
        return self.found


@pytest.mark.parametrize(
    ("says", "wrong"),
    [
        ("images", {"images": GOOD[:1]}),
        ("steps", {"steps": torch.zeros(1, dtype=torch.long)}),
        ("evaluations", {"evaluations": torch.zeros(3, dtype=torch.long)}),
        ("'path'", {"artifacts": {"path": [GOOD[0]]}}),
        ("'edits'", {"info": {"edits": [1, 2, 3]}}),
    ],
)
def test_a_method_that_forgets_rows_is_named(says: str, wrong: dict[str, Any]) -> None:
    none = torch.zeros(2, dtype=torch.long)
    method = Careless(found=SimpleNamespace(**vars(SearchResult(images=GOOD, steps=none, evaluations=none)) | wrong))
    with pytest.raises(TypeError, match=f"careless: .*{says}"):
        method(spatial(), GOOD, others(spatial(), GOOD))
