"""Classifiers of latents: trained, saved, brought back; and the generators' commands from end to end."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from rather.commands.cli import main
from rather.config.errors import RatherError
from rather.data.source import InMemory
from rather.generators.autoencoder import Autoencoder
from rather.hub.classifiers import load_classifier
from rather.train import LatentRecipe, train_heads

SHAPE = (1, 8, 8)


def blobs(count: int = 300) -> InMemory:
    """Three classes: a bright top, middle or bottom, under noise."""
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (count,), generator=g)
    images = 0.3 * torch.rand(count, *SHAPE, generator=g)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 3 * label : 3 * label + 2] += 0.6
    return InMemory("blobs", ("top", "middle", "bottom"), images, labels.tolist(), [str(i) for i in range(count)])


def flat() -> Autoencoder:
    return Autoencoder(nn.Flatten(), nn.Unflatten(1, SHAPE), shape=SHAPE, size=64)


QUICK = LatentRecipe(members=3, hidden=8, epochs=10, lr=0.01, batch_size=20)


@pytest.fixture(scope="module")
def trained():
    return train_heads(flat(), blobs(), blobs(60), QUICK, name="heads")


def test_heads_learn_and_their_members_differ(trained):
    latent, figures = trained
    assert figures.correct == 60
    assert figures.trained_on == 300
    assert len(figures.members_correct) == 3
    losses = figures.losses[0]
    assert losses[-1] < losses[0] / 4
    first, second, _ = latent.heads.weights[0]
    assert not torch.equal(first, second)
    classifier = latent.classifier()
    said = classifier.probabilities(blobs(60).images).argmax(1)
    assert said.tolist() == list(blobs(60).labels)


def test_pictures_are_moved_by_up_to_a_pixel_each_way():
    from rather.train.latent import _moved

    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    moved = [*_moved(image, 1)]
    assert len({tuple(one.flatten().tolist()) for one in moved}) == 9
    assert torch.equal(moved[4], image)
    assert moved[5][0, 0, 0].tolist() == [0, 0, 1, 2]  # to the right
    assert moved[7][0, 0, :, 0].tolist() == [0, 0, 4, 8]  # down
    assert [torch.equal(one, image) for one in _moved(image, 0)] == [True]


def test_same_seed_same_heads(trained):
    again, _ = train_heads(flat(), blobs(), blobs(60), QUICK)
    for key, tensor in trained[0].heads.state_dict().items():
        assert torch.equal(again.heads.state_dict()[key], tensor)


def test_without_test_pictures_a_tenth_is_kept_aside():
    _, figures = train_heads(flat(), blobs(), None, QUICK)
    assert (figures.trained_on, figures.tested_on) == (270, 30)


def test_pictures_of_one_class_are_refused():
    source = blobs()
    alone = InMemory("one", ("top",), source.images, [0] * 300, source.ids)
    with pytest.raises(RatherError) as caught:
        train_heads(flat(), alone, alone, QUICK)
    assert caught.value.code == "TRAIN-DATA"


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    with pytest.raises(SystemExit) as caught:
        main([*words, "--json"])
    assert caught.value.code == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from rather.io.png import write_png

    source = blobs(60)
    big = nn.functional.interpolate(source.images, 28).expand(-1, 3, -1, -1)
    for n, image in enumerate(big):
        write_png(image, tmp_path / "own" / source.classes[source.labels[n]], str(n))
    return tmp_path / "own"


def test_commands_from_a_folder_to_a_latent_classifier(folder, tmp_path, capsys):
    few = ["--set", "steps=3", "--set", "width=4", "--set", "batch_size=8"]
    for kind in ("vae", "gan"):
        out = tmp_path / f"{kind}.safetensors"
        said = told(capsys, "train", kind, "--data", str(folder), "--size", "28", "--out", str(out), *few)
        assert (said["trained_on"], said["tested_on"], said["judge"]) == (54, 6, None)
        assert out.with_suffix(".preview.png").exists()
        assert not list(tmp_path.glob("*.checkpoint"))
    latent = tmp_path / "latent.safetensors"
    words = ["--data", str(folder), "--generator", str(tmp_path / "vae.safetensors"), "--out", str(latent)]
    said = told(capsys, "train", "latent-classifier", *words, "--set", "epochs=1", "--set", "members=2")
    assert len(said["members_correct"]) == 2
    assert load_classifier(str(latent)).classes == ("bottom", "middle", "top")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["vae", "--data", "nowhere"], "DATA-NOT-FOUND"),
        (["vae", "--set", "width=0"], "CFG-SETTING"),
        (["vae", "--set", "withd=4"], "CFG-SETTING"),
        (["vae", "--classifier", "nobody"], "MODEL-NOT-FOUND"),
        (["latent-classifier", "--generator", "nobody"], "GEN-NOT-FOUND"),
        (["latent-classifier", "--generator", "digits"], "GEN-NOT-FOUND"),
        (["latent-classifier", "--set", "members=0"], "CFG-SETTING"),
        (["latent-classifier", "--set", "hidden=5000"], "CFG-SETTING"),
        (["latent-classifier", "--data", "shapes"], "GEN-SIZE"),
        (["vae", "--set", "latent=5000"], "CFG-SETTING"),
        (["vae", "--size", "64"], "CFG-OPTIONS"),
        (["vae", "--data", "OWN", "--size", "2000"], "CFG-OPTIONS"),
        (["vae", "--data", "OWN", "--size", "3"], "TRAIN-DATA"),
        (["vae", "--data", "OWN", "--size", "32", "--classifier", "digits"], "DATA-SHAPE"),
        (["exaggerator", "--data", "OWN", "--size", "32"], "CFG-OPTIONS"),
        (["exaggerator", "--data", "digits", "--set", "classes=a,b"], "CFG-SETTING"),
        (["editor", "--data", "OWN", "--size", "32"], "TRAIN-DATA"),
        (["semantic", "--data", "OWN", "--size", "32"], "TRAIN-DATA"),
        (["classifier", "--data", "OWN", "--size", "2000"], "CFG-OPTIONS"),
        (["vae", "--seed", str(2**64)], "CFG-OPTIONS"),
        (["classifier", "--seed", str(2**64)], "CFG-SETTING"),
    ],
)
def test_mistakes_are_told_in_a_line(words, code, folder, tmp_path, capsys):
    words = [str(folder) if word == "OWN" else word for word in words]
    with pytest.raises(SystemExit) as caught:
        main(["train", *words, "--out", str(tmp_path / "x.safetensors")])
    assert caught.value.code in {2, 4}
    (line,) = capsys.readouterr().err.splitlines()
    assert code in line
    assert [*tmp_path.iterdir()] == [folder]
