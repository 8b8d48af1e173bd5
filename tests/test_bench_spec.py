"""What a spec gets wrong is refused in one line that names it, with the nearest name."""

from pathlib import Path

import pytest

from rather.bench import bench_file, list_benches
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
    ("good", "bad", "message"),
    [
        ("seeds = [0, 1]", "seeds = [1, 1]", "seeds 1 .named twice"),
        ('["found", "l1"]', '["found", "found"]', "metrics found .named twice"),
        ('["digits", "digits-latent"]', '["digits", "digits"]', "classifier digits .named twice"),
        ('["digits", "digits-latent"]', '"digits"\n[[data]]\ndata = "digits"', "data digits .named twice"),
        (
            '["digits", "digits-latent"]',
            '["a", "b"]\n[[data]]\nlabel = "digits, b"\ndata = "faces"',
            "data digits, b .named twice",
        ),
        ("{ steps = 2 }", '{ name = "schut" }', "the method is not a setting"),
        ("[[data]]", "[[data]]\nshape = [1, 28]", "shape"),
        ("[[data]]", '[[data]]\noutput = "logit"', "output"),
        ('"try"', '"../try"', "should match pattern"),
        ("seeds = [0, 1]", "seeds = []", "at least 1 item"),
        ("seeds = [0, 1]", "count = 0", "greater than 0"),
        ("seeds = [0, 1]", "cuont = 3", "Did you mean count"),
        ("seeds = [0, 1]", "methodz = []", "Did you mean methods"),
        ("metrics =", "measures =", "called metrics"),
        ('"l1"', '"l11"', "Did you mean l1"),
        ('"l1"', '"telling"', "called sce"),
        ("[[data]]", '[[data]]\njudge = "digits"', "called second_classifier"),
        ("method = ", 'lable = "w", method = ', "Did you mean label"),
        ("{ steps = 2 }", '{ steps = 2 }, only = "digit"', "Did you mean digits"),
        ("{ steps = 2 }", '{ steps = 2 }, label = "wachter"', "named twice"),
    ],
)
def test_it_is_refused(tmp_path, good, bad, message):
    assert good in SPEC
    read(tmp_path, SPEC)
    with pytest.raises(RatherError, match=message) as error:
        read(tmp_path, SPEC.replace(good, bad))
    assert error.value.code == "CFG-SETTING"
    assert "\n" not in str(error.value)


def test_an_unknown_method_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(RatherError, match="Did you mean wachter"):
        read(tmp_path, SPEC.replace("wachter", "wachtre"))


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


def test_what_is_given_must_have_a_place():
    with pytest.raises(RatherError, match=r"has no \{celeba\}"):
        read_spec("tiny", {"celeba": "x"})


@pytest.mark.parametrize("name", list_benches())
def test_benchmarks_of_the_package_can_be_read(name):
    spec = read_spec(name)
    assert spec.name == name == bench_file(name).stem
    assert spec.what


def test_an_unknown_benchmark_is_answered_with_the_nearest():
    with pytest.raises(RatherError, match="ace-table-1"):
        read_spec("ace-tabel-1")
