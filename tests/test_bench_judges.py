"""A judge is of the same images, and is not the classifier that is explained; runs are planned accordingly."""

import hashlib
from pathlib import Path

import pytest
import torch

from rather.bench.judges import Judges, Truth, build_judges
from rather.bench.plan import Plan, plan
from rather.bench.spec import AskedData, read_spec
from rather.config.errors import RatherError
from rather.hub.checkpoints import save_generator
from rather.hub.classifiers import load_classifier
from rather.hub.datasets import load_dataset
from rather.hub.generators import generator_class
from rather.metrics.features.inception import Inception, architecture
from rather.worlds import WORLDS
from rather.worlds.faces import RULES, DrawnFaces, Population

DIGITS = load_classifier("digits")

SPEC = """
name = "try"
methods = ["wachter", METHOD]
count = 2
target = "next"
[[data]]
data = "digits"
"""


def planned(folder: Path, text: str, *, given: dict[str, str] | None = None, trust: tuple[str, ...] = ()) -> Plan:
    (folder / "spec.toml").write_text(text)
    return plan(read_spec(str(folder / "spec.toml"), given), folder / "runs", trust)


def judges_of(folder: Path, **asked: str) -> Judges:
    return build_judges(DIGITS, load_dataset("digits"), AskedData(data="digits", **asked), kept=folder)


def test_a_classifier_that_is_explained_judges_nothing(tmp_path):
    same = judges_of(tmp_path, second_classifier="digits")
    assert (same.second_classifier, same.feature_net) == (None, None)
    assert same.lacks("second_classifier") == "the second classifier is the one that is explained"
    assert same.lacks("feature_net") == "the net whose features measure is the one that is explained"
    apart = judges_of(tmp_path, second_classifier="digits-ensemble")
    assert apart.second_classifier is apart.feature_net is not None
    assert apart.lacks("second_classifier") == apart.lacks("feature_net") == apart.lacks("alike") == ""
    other = apart.for_classifier(load_classifier("digits-ensemble"))
    assert other.lacks("second_classifier") == "the second classifier is the one that is explained"
    assert "second_classifier" not in other.question()


def test_realism_is_measured_by_a_net_that_is_named(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save(architecture().state_dict(), file)
    judges = judges_of(tmp_path, features=f"inception:{file}")
    assert isinstance(judges.feature_net, Inception)
    assert judges.named("feature_net") == f"inception-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}"
    assert judges.question()["feature_net"] == judges.named("feature_net")
    small = judges_of(tmp_path, features="squeezenet")
    assert (small.named("feature_net"), small.named("second_classifier")) == ("squeezenet-128", "")
    with pytest.raises(RatherError, match="FID needs the weights") as caught:
        judges_of(tmp_path, features="inception:none.pth")
    assert caught.value.code == "MODEL-NOT-FOUND"


@pytest.mark.parametrize(
    ("field", "name"), [("oracle", "faces-oracle"), ("filter", "faces-ddpm"), ("second_classifier", "faces-smile")]
)
def test_a_net_of_other_images_is_refused(tmp_path, field, name):
    with pytest.raises(RatherError, match=r"faces.*\(3, 64, 64\).*digits takes \(1, 28, 28\)"):
        judges_of(tmp_path, **{field: name})


@pytest.mark.parametrize(
    ("shape", "labels", "code"), [((1, 28, 28), ("0", "1"), "MODEL-CLASSES"), ((1, 16, 16), DIGITS.classes, "GEN-SIZE")]
)
def test_autoencoders_of_other_classes_or_images_are_refused(tmp_path, shape, labels, code):
    generator = generator_class("classwise").of({"labels": labels, "width": 4, "latent": 2})
    file = tmp_path / "own.safetensors"
    save_generator(file, generator, generator.build(shape).product("own"), {})
    with pytest.raises(RatherError, match="own") as caught:
        judges_of(tmp_path, autoencoders=str(file))
    assert caught.value.code == code


def test_the_true_counterfactual_has_the_mirrored_amount_of_the_cause():
    source = DrawnFaces("some", "test", 6, seed=3, population=Population(RULES["smile"]))
    world, ids = WORLDS["faces"], [source.id(n) for n in range(6)]
    amount = world.amount(source.faces, "smile")
    high = amount > 0.5
    assert high.any()
    assert not high.all()
    assert not {0.0, 1.0} & {*amount.tolist()}  # to set it to the ends would be another picture
    truth = Truth(source, "smile", rises=True)
    pictures = torch.stack([source.read(n) for n in range(6)])
    assert torch.equal(truth.images(ids, high), pictures)
    turned = world.draw(world.give(source.faces, "smile", 1 - amount))
    assert torch.equal(truth.images(ids, ~high), turned)
    assert torch.equal(Truth(source, "smile", rises=False).images(ids, high), turned)


def test_a_method_of_another_classifier_explains_it_for_the_same_targets(tmp_path):
    result = planned(tmp_path, SPEC.replace("METHOD", '"attack@digits-ensemble"'))
    first, second = result.units
    assert (first.run.config["classifier"]["name"], second.run.config["classifier"]["name"]) == (
        "digits",
        "digits-ensemble",
    )
    assert first.job.goals == second.job.goals
    assert second.method == "attack@digits-ensemble"


def test_a_classifier_of_other_images_is_skipped(tmp_path):
    result = planned(tmp_path, SPEC.replace("METHOD", '"attack@faces-smile"'))
    assert [unit.method for unit in result.units] == ["wachter"]
    (skipped,) = result.skipped
    assert skipped.method == "attack@faces-smile"
    assert "faces-smile takes (3, 64, 64)" in skipped.reason


def test_code_is_run_with_consent_and_told_its_shape_and_classes(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Conv2d(1, 2, 5), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 2))\n"
    )
    text = SPEC.replace("METHOD", '"attack@digits"').replace('"attack@digits"', '"attack"')
    text += f'classifier = "{file}:net"\nshape = [1, 28, 28]\nclasses = ["low", "high"]\nlayer = "1"\n'
    with pytest.raises(RatherError, match="consent"):
        planned(tmp_path, text)
    trust = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    result = planned(tmp_path, text, trust=(trust,))
    assert {unit.job.classifier.classes for unit in result.units} == {("low", "high")}
    assert {unit.run.config["trust"][0] for unit in result.units} == {trust}


def test_a_classifier_of_other_classes_is_refused_by_their_name(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from torch import nn\nimport rather\n"
        "def net():\n"
        "    return rather.Classifier(nn.Sequential(nn.Conv2d(1, 2, 5), nn.ReLU(), nn.Flatten(),\n"
        "        nn.Linear(1152, 2)), shape=(1, 28, 28), classes=('low', 'high'), layer='1')\n"
    )
    trust = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    with pytest.raises(RatherError, match="knows 2 classes") as error:
        planned(tmp_path, SPEC.replace("METHOD", f'"attack@{file}:net"'), trust=(trust,))
    assert error.value.code == "CFG-CLASS"
    assert not [*(tmp_path / "runs").glob("*")]


def test_the_same_data_under_two_labels_share_their_runs(tmp_path):
    text = SPEC.replace("METHOD", '"attack"') + '[[data]]\nlabel = "again"\ndata = "{images}"\n'
    result = planned(tmp_path, text + 'classifier = "digits"\n', given={"images": "digits"})
    assert [unit.task for unit in result.units] == ["digits"] * 2 + ["again"] * 2
    folders = [unit.run.folder for unit in result.units]
    assert folders[:2] == folders[2:]
