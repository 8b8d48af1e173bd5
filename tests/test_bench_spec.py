"""What a spec says twice, or where it does not belong, is refused in a line that names it."""

from pathlib import Path

import pytest

from rather.bench.spec import Spec, read_spec
from rather.config.errors import RatherError

SPEC = """
name = "try"
methods = ["wachter", { method = "attack@digits-ensemble", settings = { steps = 2 } }]
seeds = [0, 1]
metrics = ["found", "l1"]
[[data]]
data = "digits"
classifier = ["digits", "digits-latent"]
"""


def read(folder: Path, text: str) -> Spec:
    file = folder / "spec.toml"
    file.write_text(text)
    return read_spec(str(file))


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("seeds = [0, 1]", "seeds = [1, 1]", "seeds 1 .there twice"),
        ('["found", "l1"]', '["found", "found"]', "metrics found .there twice"),
        ('["digits", "digits-latent"]', '["digits", "digits"]', "classifier digits .there twice"),
        ('["digits", "digits-latent"]', '"digits"\n[[data]]\ndata = "digits"', "data digits .there twice"),
        (
            '["digits", "digits-latent"]',
            '["a", "b"]\n[[data]]\nlabel = "digits, b"\ndata = "faces"',
            "data digits, b .there twice",
        ),
        ("{ steps = 2 }", '{ name = "schut" }', "the method is not a setting"),
        ("[[data]]", "[[data]]\nshape = [1, 28]", "shape"),
        ("[[data]]", '[[data]]\noutput = "logit"', "output"),
    ],
)
def test_it_is_refused(tmp_path, good, bad, said):
    assert good in SPEC
    read(tmp_path, SPEC)
    with pytest.raises(RatherError, match=said) as error:
        read(tmp_path, SPEC.replace(good, bad))
    assert error.value.code == "CFG-SETTING"
    assert "\n" not in str(error.value)


def test_the_same_data_twice_under_two_labels_are_two_tasks(tmp_path):
    spec = read(tmp_path, SPEC + '[[data]]\nlabel = "again"\ndata = "digits"\n')
    assert [asked.tasks for asked in spec.data] == [
        {"digits, digits": "digits", "digits, digits-latent": "digits-latent"},
        {"again": None},
    ]


def test_a_method_of_another_classifier_says_which(tmp_path):
    first, second = read(tmp_path, SPEC).methods
    assert first.column.classifier is None
    assert second.column.classifier == "digits-ensemble"
    assert second.column.plan["name"] == "attack"


def test_a_slip_in_a_name_is_said_before_what_is_missing_for_it(tmp_path: Path) -> None:
    file = tmp_path / "slip.toml"
    file.write_text('name = "slip"\nmethodz = ["wachter"]\ndata = [{ data = "digits" }]\n')
    with pytest.raises(RatherError, match=r"methodz .*Did you mean methods"):
        read_spec(str(file))
