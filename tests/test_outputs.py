"""What a net's numbers mean, what the classes are called, and what may be asked of labels and of values."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import rather
from analytic import CLASSES, example, pictures, spatial
from rather.classifiers.names import names_of
from rather.commands.cli import main
from rather.core import Classifier, preflight
from rather.feature_cells.linear_head import linear_head
from rather.hub.methods import list_methods
from rather.runs.store import Run
from refusing import refusal

BRIGHT = """
import torch
from torch import nn

class Net(nn.Module):
    def forward(self, x):
        bright = 20 * (x.mean((1, 2, 3)) - 0.5)
        return torch.stack([-bright, bright], 1)

def make():
    return Net()
"""


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Run a command in a folder of its own: its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main(list(map(str, words)))
        return end.value.code, *capsys.readouterr()

    return run


def code_file(name, text):
    """A file of code, and the words that name it and trust it."""
    Path(name).write_text(text)
    digest = hashlib.sha256(Path(name).read_bytes()).hexdigest()
    return ["--classifier", f"{name}:make", "--shape", 3, 8, 8, "--trust", f"sha256:{digest}"]


def folders_of(*folders, count=2):
    """Folders of grey pictures, darker and lighter ones."""
    for n, folder in enumerate(folders):
        Path(folder).mkdir(parents=True)
        for i in range(count):
            grey = np.full((8, 8, 3), 60 + 100 * n + 9 * i, np.uint8)
            Image.fromarray(grey).save(f"{folder}/{i}.png")


def test_labels_say_which_class_a_folder_holds(cli):
    folders_of("mine/night", "mine/day")
    words = ["explain", "mine", *code_file("net.py", BRIGHT), "--classes", "dark", "--classes", "light"]
    words += ["--method", "attack", "--target", "next", "--out", "run"]
    code, _, error = cli(*words, "--labels", "night=dark", "--labels", "day=1")
    assert (code, error) == (0, ""), error
    assert {(row.where.split("/")[1], row.label) for row in Run.open("run").rows()} == {
        ("night", "dark"),
        ("day", "light"),
    }
    code, _, error = cli(*words, "--labels", "nigth=dark")
    assert (code, "Did you mean night" in error) == (2, True)
    code, _, error = cli(*words, "--labels", "night=drak")
    assert (code, "Did you mean dark" in error) == (2, True)
    code, _, error = cli("explain", "--labels", "0=1")
    assert (code, "no folder of yours" in error) == (2, True)


# Names of classes


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("names.txt", "cat\n a dog \ncafe\u0301\n\n"),
        ("names.txt", "\ufeffcat\r\na dog\r\ncaf\u00e9"),
        ("names.json", json.dumps(["cat", "a dog", "caf\u00e9"])),
        ("names.json", json.dumps({"2": "caf\u00e9", "0": "cat", "1": "a dog"})),
        ("names.json", json.dumps({"cat": 0, "a dog": 1, "caf\u00e9": 2})),
        ("names.json", json.dumps({"0": ["n01", "cat"], "1": ["n02", "a dog"], "2": ["n03", "caf\u00e9"]})),
        ("config.json", json.dumps({"id2label": {"0": "cat", "1": "a dog", "2": "caf\u00e9"}, "more": 1})),
    ],
)
def test_a_file_names_the_classes(tmp_path, file, text):
    path = tmp_path / file
    path.write_text(text, "utf-8")
    assert names_of([str(path)]) == names_of(path) == ("cat", "a dog", "caf\u00e9")


def test_a_file_may_have_any_name_and_twins_get_their_numbers(tmp_path):
    path = tmp_path / "names of mine"
    path.write_text("crane\ncat\ncrane\n")
    assert names_of(str(path)) == ("crane (0)", "cat", "crane (2)")
    assert names_of(["no such file"]) == ("no such file",)


@pytest.mark.parametrize("text", ["", "cat\n\ndog", "\xff"])
def test_a_file_that_names_nothing_is_refused(tmp_path, text):
    path = tmp_path / "names.txt"
    path.write_bytes(text.encode("latin-1"))
    error = refusal(names_of, path)
    assert (error.code, str(path) in str(error)) == ("MODEL-CLASSES", True)
    assert refusal(names_of, "missing.txt").code == "MODEL-CLASSES"


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"0": "cat", "2": "dog"}', '{"a": "b"}', "3", "[]", "{}", "null"])
def test_json_that_names_nothing_is_refused(tmp_path, text):
    path = tmp_path / "names.json"
    path.write_text(text)
    assert refusal(names_of, path).code == "MODEL-CLASSES"


def test_names_are_equal_in_every_unicode_form_and_a_hint_forgives_capitals():
    net = Classifier(nn.Flatten(), shape=(1, 1, 2), classes=["cafe\u0301", "Tea"])
    assert net.classes == ("caf\u00e9", "Tea")
    assert net.class_index("cafe\u0301") == net.class_index("caf\u00e9") == net.class_index("0") == 0
    assert "Did you mean Tea" in str(refusal(net.class_index, "TEA"))


def test_a_thousand_outputs_may_be_those_of_imagenet():
    def net(x):
        return -x.flatten(1)[:, :1] * torch.linspace(0.5, 1, 1000)

    x = torch.rand(3, 1, 8, 8)
    assert "--classes imagenet" in preflight(Classifier(net, shape=(1, 8, 8)), x)[0]
    named = Classifier(net, shape=(1, 8, 8), classes="imagenet")
    assert (named.classes[281], len({*named.classes}), preflight(named, x)) == ("tabby", 1000, [])


# What the numbers are


class Answers(nn.Module):
    """A net whose outputs are a function of the brightness of the picture's left and right half."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        left, right = (half.mean((1, 2, 3)) for half in x.chunk(2, 3))
        return self.answer(torch.stack([left, right], 1))


SHAPE = (1, 4, 4)


def halves(*pairs):
    """Pictures with these brightnesses of their halves."""
    return torch.tensor(pairs)[:, None, None].repeat_interleave(2, 3).expand(-1, 1, 4, 4).contiguous()


PICTURES = halves((0.9, 0.2), (0.3, 0.7), (0.5, 0.6), (0.8, 0.9))


@pytest.mark.parametrize(
    ("answer", "output", "fitting"),
    [
        # On noise both halves are about 0.5, so that a logit of it may look like a probability.
        (lambda h: 40 * (h[:, :1] - 0.45), "logits", ["binary-logit", "value"]),
        (lambda h: h[:, :1], "logits", ["binary-probability", "binary-logit", "value"]),
        (lambda h: h[:, 0], "probabilities", ["binary-probability", "binary-logit", "value"]),
        (lambda h: h, "probabilities", ["multi-label", "logits", "value"]),
        (lambda h: 9 * h, "probabilities", ["multi-label", "logits", "value"]),
        (lambda h: 9 * h[:, :1], "binary-probability", ["binary-logit", "value"]),
        (lambda h: h.softmax(1), "logits", ["probabilities"]),
    ],
)
def test_advice_names_each_reading_that_fits_and_no_other(answer, output, fitting):
    error = refusal(Classifier, Answers(answer), shape=SHAPE, output=output)
    known = ["binary-probability", "binary-logit", "value", "multi-label", "logits", "probabilities"]
    said = re.sub(r"\(.*?\)", "", error.do).replace(",", " ").split()
    assert {word for word in known if word in said} == {*fitting}


@pytest.mark.parametrize(
    ("answer", "output", "advice"),
    [
        (lambda h: 2 * (h[:, :1] - 0.3), "binary-probability", "binary-logit"),
        (lambda h: 2 * (h - 0.3), "multi-label", "multi-label-logits"),
        (lambda h: torch.cat([h[:, :1], 1 - h[:, :1]], 1) + (h[:, 1:] - 0.5).relu(), "probabilities", "logits"),
    ],
)
def test_a_claim_that_pictures_contradict_is_refused(answer, output, advice):
    """What fits the noise on which a net is tried first need not fit pictures."""
    classifier = Classifier(Answers(answer), shape=SHAPE, output=output)
    if classifier.kind == "labels":
        classifier = classifier.ask("0")
    error = refusal(preflight, classifier, PICTURES)
    assert (error.code, advice in error.do) == ("MODEL-NOT-PROBABILITIES", True)
    assert refusal(rather.explain, classifier, PICTURES, "attack", target="next").code == error.code


def test_a_reading_that_pictures_do_not_contradict_passes():
    binary = Classifier(Answers(lambda h: h[:, :1]), shape=SHAPE, output="binary-probability")
    labels = Classifier(Answers(lambda h: h), shape=SHAPE, output="multi-label")
    logits = Classifier(Answers(lambda h: 2 * (h - 0.3)), shape=SHAPE, output="multi-label-logits")
    assert [preflight(each, PICTURES) for each in (binary, labels.ask("0"), logits.ask("1"))] == [[], [], []]
    torch.testing.assert_close(labels.outputs(PICTURES), torch.stack([p.flatten(1)[:, [0, -1]][0] for p in PICTURES]))


@pytest.mark.parametrize(
    ("answer", "output", "advice"),
    [
        (lambda h: h, "logits", "--output multi-label"),
        (lambda h: h[:, :1], "binary-logit", "--output binary-probability"),
    ],
)
def test_outputs_that_look_like_probabilities_are_told(answer, output, advice, caplog):
    """They may be what was said: so this is no error."""
    classifier = Classifier(Answers(answer), shape=SHAPE, output=output)
    assert [advice in note for note in preflight(classifier, PICTURES)] == [True]
    rather.explain(classifier, PICTURES, rather.Attack(steps=1), target="next")
    assert advice in caplog.text


# What may be asked of labels and values


def linear_as(output):
    """`spatial`, whose three linear outputs are labels, or values."""
    one = spatial()
    net = nn.Sequential(one.body, *one.head)
    return Classifier(net, shape=one.shape, output=output, classes=CLASSES)


X = pictures(6)
#: Methods whose nets know classes by name, and so none of a label's.
OF_CLASSES = {"clarity", "exaggeration"}


@pytest.mark.parametrize("name", list_methods())
def test_every_method_changes_a_label_and_says_what_became_of_the_others(name):
    labels = linear_as("multi-label")
    if name in OF_CLASSES:
        assert refusal(example(name), labels, X, "left").code == "MODEL-CLASSES"
        return
    found = example(name)(labels, X, "left")
    before, after = labels.outputs(X), labels.outputs(found.images)
    assert found.success.all()
    assert ((before > 0.5) != (after > 0.5))[:, CLASSES.index("left")].all()
    told = torch.tensor([[row[label] for label in CLASSES] for row in found.info["labels"]])
    torch.testing.assert_close(told, torch.stack([before, after], 2))
    assert found.classes == ("left=no", "left=yes")


@pytest.mark.parametrize("name", list_methods())
def test_every_method_brings_a_value_below_a_bound(name):
    values = linear_as("value")
    if name in OF_CLASSES:
        assert refusal(example(name), values, X, "left>0.5").code == "MODEL-CLASSES"
        return
    found = example(name)(values.ask("left > 0.5", tolerance=0.2), X, 1)
    values_after = values.outputs(found.images)[:, CLASSES.index("left")]
    assert torch.equal(values_after > 0.5, torch.tensor([status in {"found", "already"} for status in found.status]))
    assert sum(status == "found" for status in found.status) >= 3


@pytest.mark.parametrize("name", ["attack", "wachter", "revise"])
@pytest.mark.parametrize(("target", "goal"), [("left=1", 1.0), ("left+1", None), ("left-1", None)])
def test_a_value_comes_within_the_tolerance(name, target, goal):
    values = linear_as("value")
    before = values.outputs(X)[:, CLASSES.index("left")]
    found = example(name)(values.ask(target, tolerance=0.3), X, 1)
    wanted = torch.full((6,), goal) if goal else before + float(target.removeprefix("left"))
    after = values.outputs(found.images)[:, CLASSES.index("left")]
    assert found.success.all()
    assert ((after - wanted).abs() < 0.3).all()
    assert [row["left"] for row in found.info["values"]] == torch.stack([before, after], 1).tolist()


@pytest.mark.parametrize(
    ("target", "region", "reached"),
    [
        ("60", "age 60 ± 3", [False, True, True, True, False]),
        ("<60", "age < 60", [True, True, True, False, False]),
        (" > 60", "age > 60", [False, False, False, True, True]),
        ("=-60", "age -60 ± 3", [False] * 5),
        ("age 60", "age 60 ± 3", [False, True, True, True, False]),
        ("6e1", "age 60 ± 3", [False, True, True, True, False]),
    ],
)
def test_regions_of_values(target, region, reached):
    net = Classifier(Answers(lambda h: 100 * h[:, 0]), shape=SHAPE, output="value", classes=["age"])
    asked = net.ask(target)
    x = halves(*((v, 0.5) for v in (0.569, 0.571, 0.599, 0.629, 0.631)))
    assert asked.classes[1] == region
    assert (asked.probabilities(x).argmax(1) == 1).tolist() == reached
    middle = asked.probabilities(halves((0.6, 0.0)))[0, 1]
    if "±" in region and reached[2]:
        torch.testing.assert_close(middle, torch.tensor(4.0).sigmoid())


def test_a_relative_value_is_each_images_own_and_does_not_depend_on_the_batch():
    net = Classifier(Answers(lambda h: 100 * h[:, 0]), shape=SHAPE, output="value", classes=["age"])
    x = PICTURES[1:]
    together = rather.explain(net, x, rather.Wachter(), target="-5", tolerance=1)
    assert together.success.all()
    for n in range(len(x)):
        alone = rather.explain(net, x[n : n + 1], rather.Wachter(), target="-5", tolerance=1)
        assert torch.equal(alone.images[0], together.images[n])
        before, after = alone.info["values"][0]["age"]
        assert abs(after - before + 5) < 1


def test_other_labels_are_kept_by_the_loss():
    """Of two halves that change a label, the search takes the one that changes no other."""
    net = Answers(lambda h: torch.stack([20 * (h.sum(1) - 1), 60 * (h[:, 0] - 0.5)], 1))
    labels = Classifier(net, shape=SHAPE, output="multi-label")
    x = halves((0.6, 0.6), (0.55, 0.6))
    asked = labels.ask("0=no")
    blind = Classifier(asked.body, asked.head, shape=SHAPE, classes=asked.classes)  # it knows of no other label
    search = rather.Wachter(steps=200)
    kept = labels.outputs(search(asked, x, 0).images)
    lost = labels.outputs(search(blind, x, 0).images)
    assert (kept > 0.5).tolist() == [[False, True]] * 2
    assert (lost > 0.5).tolist() == [[False, False]] * 2


@pytest.mark.parametrize(
    ("output", "target", "says"),
    [
        ("multi-label", "Smilin", "Did you mean Smiling"),
        ("multi-label", "smiling=no", "Did you mean Smiling"),
        ("multi-label", "Smiling=maybe", "Say Smiling=no, Smiling=yes"),
        ("multi-label", "nearest", "Say Smiling=no, Smiling=yes"),
        ("multi-label", 0, "Say Smiling=no, Smiling=yes"),
        ("value", "nearest", "Say Smiling=60"),
        ("value", "60", "Say Smiling=60"),
        ("value", "Age<", "Say Smiling=60"),
        ("value", "Age<inf", "Say Smiling=60"),
        ("value", "Age>0", "--tolerance"),
        ("value", "Age=1e999", "--tolerance"),
    ],
)
def test_a_target_that_asks_nothing_is_refused(output, target, says):
    net = Classifier(Answers(lambda h: h - 0.5), shape=SHAPE, output=output, classes=["Smiling", "Age"])
    error = refusal(net.ask, target)
    assert error.code in {"CFG-CLASS", "CFG-SETTING"}
    assert says in error.do


def test_labels_and_values_are_no_classes():
    """Whoever takes them for classes is told so, before anything is computed."""
    for output in ("multi-label", "value"):
        net = Classifier(Answers(lambda h: h - 0.5), shape=SHAPE, output=output)
        assert refusal(net.probabilities, PICTURES).code == "MODEL-NO-CLASSES"
        assert refusal(rather.ensemble, [net, net]).code == "MODEL-MEMBERS"
        assert refusal(rather.Attack(), net, PICTURES, rather.Goal.change(torch.zeros(4))).code == "MODEL-NO-CLASSES"
    assert refusal(rather.explain, spatial(), X, "attack", target="next", tolerance=1).code == "CFG-OPTIONS"


def test_a_linear_head_stays_one():
    """So that searches over cells stay fast: a label, or a bound of a value, is a linear layer after it."""
    for output, target in (("multi-label", "top"), ("value", "top<0.5")):
        asked = linear_as(output).ask(target)
        assert linear_head(asked.head, (3, 3, 3)) is not None
