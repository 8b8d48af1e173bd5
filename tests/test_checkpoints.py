"""Files of trained nets: what was saved comes back, and all else is one clear line."""

import json
import math
import os
import pickle
import struct
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from rather.classifiers import architectures
from rather.config.errors import RatherError
from rather.core import Classifier, ensemble
from rather.generators.vae import VAERecipe
from rather.hub.checkpoints import (
    read_classifier,
    read_generator,
    read_latent,
    read_metadata,
    save_classifier,
    save_generator,
    save_latent,
)
from rather.hub.classifiers import load_classifier
from rather.hub.generators import load_generator
from rather.io import bundled
from rather.io.bundled import weights_file
from rather.latents.classifiers import LatentClassifiers, LatentHeads

SHAPE = (1, 16, 16)
VAE = VAERecipe(latent=3, width=4)
READ = {"classifier": read_classifier, "generator": read_generator, "latent-classifier": read_latent}


def code_of(call, *arguments):
    with pytest.raises(RatherError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return caught.value.code


def stripes(name="stripes", seed=0):
    torch.manual_seed(seed)
    body, head = architectures.build("goyal", SHAPE, 2)
    return Classifier(body, head, classes=("lying", "standing"), shape=SHAPE, name=name, mean=[0.3], std=[0.2])


def latent(heads=3):
    torch.manual_seed(0)
    return LatentClassifiers(VAE.build(SHAPE).product("small"), LatentHeads(4, heads, 8, 3), "abc", "mine")


@pytest.fixture
def files(tmp_path):
    """One of each kind."""
    each = {kind: tmp_path / f"{kind}.safetensors" for kind in READ}
    save_classifier(each["classifier"], stripes(), architecture="goyal", card={"seed": 0})
    save_generator(each["generator"], VAE, VAE.build(SHAPE).product("good"), {})
    save_latent(each["latent-classifier"], latent(), VAE.settings(), {})
    return each


def same(one, other):
    """Numbers to the last bit, answers but for rounding: a loaded net lies in memory as suits a processor."""
    x, numbers = torch.rand(5, *SHAPE), other.state_dict()
    torch.testing.assert_close(one(x), other(x), rtol=1e-5, atol=1e-5)
    return all(torch.equal(value, numbers[name]) for name, value in one.state_dict().items())


@pytest.mark.shapes
def test_a_saved_classifier_comes_back(files):
    file, before = files["classifier"], torch.get_rng_state()
    again = read_classifier(file)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(again, stripes())
    assert again.body[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert (again.name, again.shape, again.classes) == ("stripes", SHAPE, ("lying", "standing"))
    assert not any(p.requires_grad for p in again.parameters())
    assert read_metadata(file)["card"] == {"seed": 0}
    file.write_bytes(b"x" * len(file.read_bytes()))
    assert same(again, stripes())  # it does not live in the file


def test_a_saved_ensemble_comes_back(tmp_path):
    both = ensemble([stripes("a"), stripes("b", 9)], "both")
    save_classifier(tmp_path / "both.safetensors", both, architecture="goyal", card={})
    again = read_classifier(tmp_path / "both.safetensors")
    assert (again.name, len(again.members)) == ("both", 2)
    assert same(again, both)
    assert same(again.members[1], stripes("b", 9))


def test_saved_classifiers_of_latents_are_a_classifier_that_gives_them_back(files):
    mine, x = latent(), torch.rand(5, *SHAPE)
    loaded = load_classifier(str(files["latent-classifier"]))
    torch.testing.assert_close(loaded(x), mine.classifier()(x))
    assert len(loaded.members) == 4
    again = LatentClassifiers.of(loaded)
    assert again is not None
    assert again.autoencoder.fingerprint() == mine.autoencoder.fingerprint()
    assert (again.name, again.autoencoder.name, again.classes) == ("mine", "small", ("a", "b", "c"))
    save_latent(files["latent-classifier"], latent(heads=64), VAE.settings(), {})  # the encoder gives 3 numbers
    assert code_of(read_latent, files["latent-classifier"]) == "MODEL-FILE-DAMAGED"


def test_files_of_another_kind_are_refused(files):
    for kind, read in READ.items():
        for other, file in files.items():
            if kind != other:
                assert code_of(read, file) == "MODEL-KIND"
    assert code_of(load_generator, str(weights_file("digits", "classifier"))) == "MODEL-KIND"
    assert code_of(load_classifier, str(files["generator"])) == "MODEL-KIND"
    assert code_of(load_generator, "no-such") == "GEN-NOT-FOUND"


def with_metadata(file, text):
    """The bytes of a file with other metadata."""
    whole = file.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length]) | {"__metadata__": {"rather": text}}
    header = json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + whole[8 + length :]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("classifier", {"architecture": "resnet"}),
        ("classifier", {"architecture": "small"}),
        ("classifier", {"format": 2}),
        ("classifier", {"members": 2}),
        ("classifier", {"members": 10**9}),
        ("classifier", {"shape": [1, 28, 28]}),
        ("classifier", {"shape": [1, 2, 2]}),
        ("classifier", {"shape": [1, 10**6, 10**6]}),
        ("classifier", {"classes": ["one"]}),
        ("classifier", {"classes": ["one", "two", "three"]}),
        ("classifier", {"classes": "ab"}),
        ("classifier", {"code": "print()"}),
        ("generator", {"generator": {"name": "os"}}),
        ("generator", {"generator": {**VAE.settings(), "width": "x"}}),
        ("generator", {"generator": {**VAE.settings(), "width": 8}}),
        ("generator", {"generator": {**VAE.settings(), "latent": 10**9}}),
        ("generator", {"generator": {"name": "gan", "refine": 10**15}}),
        ("generator", {"shape": [1, 32, 32]}),
        ("latent-classifier", {"hidden": 9}),
        ("latent-classifier", {"generator": {"name": "oracle", "attributes": ["a"]}}),
    ],
)
def test_metadata_that_does_not_fit_is_refused(files, kind, changes):
    file = files[kind]
    file.write_bytes(with_metadata(file, json.dumps({**read_metadata(file), **changes})))
    assert code_of(READ[kind], file) == "MODEL-FILE-DAMAGED"


@pytest.mark.parametrize("text", ["[" * 100_000, "1" + "0" * 5000, "[1]", "{"], ids=["deep", "number", "list", "torn"])
def test_metadata_that_is_no_plan_is_refused(files, text):
    files["generator"].write_bytes(with_metadata(files["generator"], text))
    assert code_of(read_generator, files["generator"]) == "MODEL-FILE-DAMAGED"


def test_tensors_that_do_not_fit_are_refused(files):
    file, key = files["classifier"], "0.head.1.bias"
    good = load_file(file)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    without = {name: tensor for name, tensor in good.items() if name != key}
    for tensors in (
        without,
        without | {key: good[key][:3]},
        without | {key: good[key].half()},
        without | {key: good[key] * math.nan},
        without | {key: good[key] / 0},
        good | {"1.extra": good[key].clone()},
    ):
        save_file(tensors, file, metadata)
        assert code_of(read_classifier, file) == "MODEL-FILE-DAMAGED"
    save_file(good, file, metadata)
    read_classifier(file)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("marker",)


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_other_files_are_refused_and_a_pickle_is_not_opened(read, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, whole = tmp_path / "net.safetensors", files["classifier"].read_bytes()
    assert code_of(read, file) == "MODEL-NOT-FOUND"
    assert code_of(read, tmp_path) == "MODEL-NOT-FOUND"
    for data in (
        b"",
        b"<html>not found</html>",
        b"version https://git-lfs.github.com/spec/v1\n",
        struct.pack("<Q", 2**60) + b"{}",
        whole[: len(whole) // 2],
    ):
        file.write_bytes(data)
        assert code_of(read, file) == "MODEL-FILE-DAMAGED"
    file.write_bytes(save({"weight": torch.zeros(3)}))
    assert code_of(read, file) == "MODEL-FILE-SPEC"
    torch.save({"a": torch.zeros(2), "b": Bomb()}, "torch.bin")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Bomb()))
    with zipfile.ZipFile("zip.bin", "w") as zipped:
        zipped.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    for pickled in tmp_path.glob("*.bin"):
        assert code_of(read, pickled) == "MODEL-CODE"
    assert not (tmp_path / "marker").exists()


def test_a_header_whose_length_begins_like_a_pickle_is_none(tmp_path):
    path = tmp_path / "net.safetensors"
    for filler in range(0, 4096, 8):
        save_classifier(path, stripes(), architecture="goyal", card={"filler": "x" * filler})
        if path.read_bytes().startswith(b"\x80"):
            break
    assert path.read_bytes().startswith(b"\x80")
    assert read_classifier(path).name == "stripes"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_or_a_classifier_and_nothing_else(tmp_path, data):
    good = (bundled.WEIGHTS / "digits.safetensors").read_bytes()
    broken = bytearray(good)
    places = st.integers(0, 2000) | st.integers(0, len(good) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        broken[place] = byte
    length = data.draw(st.just(len(good)) | st.integers(0, len(good)))
    path = tmp_path / "net.safetensors"
    path.write_bytes(broken[:length])
    try:
        outcome = read_classifier(path)
    except RatherError as error:
        outcome = error.code
    assert isinstance(outcome, Classifier) or outcome in {"MODEL-FILE-DAMAGED", "MODEL-CODE"}


def test_a_changed_bundled_file_is_refused(monkeypatch, tmp_path):
    for file in bundled.WEIGHTS.glob("digits.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path)
    load_classifier("digits")
    data = bytearray((tmp_path / "digits.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "digits.safetensors").write_bytes(data)
    assert code_of(load_classifier, "digits") == "MODEL-FILE-DAMAGED"
