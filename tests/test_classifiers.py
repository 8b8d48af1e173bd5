"""Bringing classifiers in: what they answer stays the same, and no file runs without consent."""

import argparse
import hashlib
import os
import pickle
import re
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file
from torch import nn

from rather.classifiers.outputs import Log, LogOdds
from rather.config.errors import RatherError
from rather.core import Classifier, ensemble
from rather.hub.classifiers import load_classifier
from rather.hub.libraries import build_for, torchvision
from rather.hub.trusted import run_factory
from rather.io.state_dicts import read_state
from refusing import refusal

SHAPE = (1, 6, 6)
X = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(1))


def net(classes=3, *after):
    torch.manual_seed(classes)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, classes), *after)


class Several(NamedTuple):
    """As torchvision's nets with auxiliary heads answer."""

    logits: torch.Tensor
    aux: None
    number: torch.Tensor


def refused(code, call, *arguments, **settings):
    with pytest.raises(RatherError) as caught:
        call(*arguments, **settings)
    assert caught.value.code == code
    assert caught.value.exit_code == (2 if code.startswith("CFG") else 4)
    assert "\n" not in str(caught.value)
    return caught.value


# What nets answer


def test_logits_stay_and_normalisation_goes_inside():
    own = net()
    classifier = Classifier(own, shape=SHAPE, mean=[0.3], std=[0.5], classes=["a", "b", "c"])
    assert torch.equal(classifier(X), own((X - 0.3) / 0.5).detach())
    assert classifier.classes == ("a", "b", "c")
    assert Classifier(own, shape=SHAPE).classes == ("0", "1", "2")


@pytest.mark.parametrize("last", [nn.Identity(), nn.Sigmoid()])
@pytest.mark.parametrize("known", [True, False])
def test_one_number_becomes_two_logits(last, known):
    """With a chain of layers the last one is widened; of a function all that is known is its answer."""
    own = net(1, last).eval()
    output = "binary-probability" if isinstance(last, nn.Sigmoid) else "binary-logit"
    classifier = Classifier(own if known else lambda x: own(x)[:, 0], shape=SHAPE, output=output)
    logit = own[:4](X)[:, 0].detach()
    both = torch.stack([torch.zeros(4), logit], 1).log_softmax(1)
    torch.testing.assert_close(classifier(X).log_softmax(1).detach(), both)
    assert classifier.classes == ("0", "1")
    assert isinstance(list(classifier.head)[-1], nn.Linear) == known


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1)])
@pytest.mark.parametrize("known", [True, False])
def test_probabilities_and_their_logarithms_become_logits(last, known):
    own = net(3, last).eval()
    output = "probabilities" if isinstance(last, nn.Softmax) else "logits"
    classifier = Classifier(own if known else own.__call__, shape=SHAPE, output=output)
    torch.testing.assert_close(classifier(X).softmax(1).detach(), own[:4](X).softmax(1).detach())
    assert (type(list(classifier.head)[-1]) is nn.Linear) == known if known else True


def test_a_saturated_probability_has_a_floor():
    exactly = torch.tensor([[0.0, 1.0]])
    assert Log()(exactly).isfinite().all()
    assert LogOdds()(torch.tensor([0.0, 1.0])).isfinite().all()
    torch.testing.assert_close(LogOdds()(torch.tensor([0.25])), torch.tensor([[0.75, 0.25]]).log())


@pytest.mark.parametrize(
    "dress",
    [
        lambda logits: {"logits": logits, "hidden": 2 * logits},
        lambda logits: {"out": logits, "loss": None},
        lambda logits: (logits,),
        lambda logits: [None, logits],
        lambda logits: Several(logits, None, logits.argmax(1)),
    ],
)
def test_the_one_tensor_is_taken_of_any_answer(dress):
    class Dressed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net()

        def forward(self, x):
            return dress(self.inner(x))

    own = Dressed()
    assert torch.equal(Classifier(own, shape=SHAPE)(X), own.inner(X).detach())
    assert torch.equal(Classifier(own.__call__, shape=SHAPE)(X).detach(), own.inner(X).detach())


def test_nothing_of_the_net_is_changed():
    own = net(3, nn.Dropout(0.5)).train()
    own[3].bias.requires_grad_(False)
    own(X).sum().backward()
    seen = []
    own.register_forward_hook(lambda *_: seen.append(1))
    state = {key: value.clone() for key, value in own.state_dict().items()}
    gradient = own[0].weight.grad.clone()
    random = torch.get_rng_state()
    classifier = Classifier(own, shape=SHAPE)
    classifier(X)
    assert own.training
    assert own[4].training
    assert [p.requires_grad for p in own.parameters()] == [True, True, True, False]
    assert torch.equal(own[0].weight.grad, gradient)
    assert all(torch.equal(value, state[key]) for key, value in own.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert len(own._forward_hooks) == 1
    assert not {id(p) for p in own.parameters()} & {id(p) for p in classifier.parameters()}
    assert not any(p.requires_grad for p in classifier.parameters())


def test_a_half_precision_net_is_brought_to_full():
    own = net().half()
    assert Classifier(own, shape=SHAPE)(X).dtype == torch.float32


def test_a_net_that_cannot_be_copied_or_normalised_is_refused():
    unborn = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    assert "uninitialized" in refused("MODEL-COPY", Classifier, unborn, shape=SHAPE).why
    refused("MODEL-INPUT", Classifier, net(), shape=SHAPE, mean=[0.5, 0.5, 0.5])
    refused("MODEL-INPUT", Classifier, net(), shape=SHAPE, std=[0.0])
    refused("MODEL-CLASSES", Classifier, net(), shape=SHAPE, classes=["a", "b"])
    refused("MODEL-LAYER", Classifier, lambda x: x.flatten(1), shape=SHAPE, layer="0")


def test_a_parallel_net_is_taken_out_of_its_wrapper():
    own = net()
    assert torch.equal(Classifier(nn.DataParallel(own), shape=SHAPE, layer="1")(X), own(X).detach())


# Ensembles


def members():
    plain = Classifier(net(3), shape=SHAPE, name="plain")
    wide = nn.Sequential(nn.Conv2d(1, 7, 3), nn.Flatten(), nn.Linear(7 * 16, 3))
    return [plain, Classifier(wide, shape=SHAPE, mean=[0.4], std=[0.3], name="wide")]


def test_an_ensemble_is_the_mean_of_log_probabilities_over_maps_side_by_side():
    both = members()
    one = ensemble(both)
    expected = torch.stack([member(X).softmax(1).log() for member in both]).mean(0)
    torch.testing.assert_close(one(X), expected)
    assert one.features(X).shape == (4, 4 + 7, 4, 4)
    assert torch.equal(one.features(X)[:, :4], both[0].features(X))
    assert one.members == tuple(both)
    assert len({id(p) for p in one.parameters()}) == len(list(one.state_dict())) - 6  # but means and deviations


def test_an_ensemble_of_maps_of_different_sizes_has_the_image_as_its_map():
    small = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(16, 3))
    both = [members()[0], Classifier(small, shape=SHAPE)]
    one = ensemble(both)
    assert torch.equal(one.features(X), X)
    torch.testing.assert_close(one(X), torch.stack([m(X).log_softmax(1) for m in both]).mean(0))


def test_members_that_do_not_fit_are_refused():
    refused("MODEL-MEMBERS", ensemble, [])
    refused("MODEL-MEMBERS", ensemble, [members()[0], Classifier(net(4), shape=SHAPE)])
    named = Classifier(net(), shape=SHAPE, classes=["a", "b", "c"])
    refused("MODEL-MEMBERS", ensemble, [members()[0], named])


# Names


def test_the_bundled_ones_by_name_and_cut_elsewhere():
    digits = load_classifier("digits")
    other = load_classifier("digits", layer="body.1", classes=[f"digit {n}" for n in range(10)])
    x = torch.rand(3, *digits.shape)
    torch.testing.assert_close(other(x), digits(x))
    assert other.features(x).shape[2:] == (12, 12)
    assert other.classes[3] == "digit 3"
    refused("MODEL-LAYER", load_classifier, "digits", layer="head.1")
    refused("CFG-OPTIONS", load_classifier, "digits", output="probabilities")
    refused("CFG-OPTIONS", load_classifier, "digits", shape=(3, 28, 28))
    assert "logits" in refused("CFG-SETTING", load_classifier, "digits", output="logit").do
    assert "logits" in refused("CFG-SETTING", Classifier, net(), shape=SHAPE, output="logit").do
    refused("MODEL-CLASSES", load_classifier, "digits", classes=["one"])


@pytest.mark.parametrize(
    ("spec", "do"),
    [
        ("digit", "digits"),
        ("torchvision:resnet19", "resnet18"),
        ("no_such_module:make", "FUNCTION|function"),
        ("no/such.py:make", ""),
        ("torchvision:resnet18=no/such/file", ""),
    ],
)
def test_a_name_that_does_not_exist(spec, do):
    assert any(word in refused("MODEL-NOT-FOUND", load_classifier, spec).do for word in do.split("|"))


def test_a_library_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "rather[hf]" in refused("MODEL-MISSING-LIBRARY", load_classifier, "hf:some/folder").do


# Other libraries


@pytest.fixture(scope="module")
def squeezed(tmp_path_factory):
    """A small net of torchvision with three classes, and files of its weights."""
    from torchvision.models import squeezenet1_1

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    own = squeezenet1_1(weights=None, num_classes=3).eval()
    save_file(own.state_dict(), folder / "plain.safetensors")
    torch.save(own.state_dict(), folder / "plain.pth")
    wrapped = {f"module.{key}": value for key, value in own.state_dict().items()}
    torch.save({"state_dict": wrapped, "epoch": 3}, folder / "wrapped.pth")
    return own, folder


@pytest.mark.parametrize("file", ["plain.safetensors", "plain.pth", "wrapped.pth"])
def test_torchvision_with_a_file(squeezed, file):
    own, folder = squeezed
    classifier = load_classifier(f"torchvision:squeezenet1_1={folder / file}", shape=(3, 64, 64))
    x = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        torch.testing.assert_close(classifier(x), own((x - mean[:, None, None]) / std[:, None, None]))
    assert classifier.classes == ("0", "1", "2")
    assert classifier.name == "squeezenet1_1"


def test_torchvision_with_its_published_weights(tmp_path, monkeypatch):
    """What a download would have left in torch's cache; its numbers are random here."""
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "weights")
    whole = (tmp_path / "weights").read_bytes()
    file = tmp_path / "hub" / "checkpoints" / f"net-{hashlib.sha256(whole).hexdigest()[:8]}.pth"
    monkeypatch.setattr(SqueezeNet1_1_Weights.DEFAULT.value, "url", f"http://nowhere/{file.name}")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for content, why in ((whole[:-1000], "cut off"), (whole + b"0", "another file"), (b"<html>", "web page")):
        file.write_bytes(content)
        error = refused("MODEL-FILE-DAMAGED", load_classifier, "torchvision:squeezenet1_1")
        assert why in error.why
        assert "Delete" in error.do
        assert str(file) in error.where
    file.write_bytes(whole)
    classifier = load_classifier("torchvision:squeezenet1_1")
    assert classifier.shape == (3, 224, 224)
    assert classifier.classes[:2] == ("tench", "goldfish")
    assert len(classifier.classes) == 1000


def test_timm_with_a_file(tmp_path):
    timm = pytest.importorskip("timm")
    own = timm.create_model("resnet10t", num_classes=4).eval()
    save_file(own.state_dict(), tmp_path / "own.safetensors")
    classifier = load_classifier(f"timm:resnet10t={tmp_path / 'own.safetensors'}", shape=(3, 96, 96))
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(classifier(x), own((x - classifier.mean) / classifier.std))
    assert [type(layer) for layer in classifier.head] == [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]
    assert "resnet18" in refused("MODEL-NOT-FOUND", load_classifier, "timm:resnett18").do


@pytest.mark.parametrize(
    "name",
    [
        "aimv2_large_patch14_224",  # without a head, unless it is asked for
        "convnext_atto",
        "deit_tiny_distilled_patch16_224",  # two heads
        "efficientnet_lite0",
        "mixer_s32_224",
        "mobilenetv3_small_050",
        "resnet10t",
        "swin_tiny_patch4_window7_224",
        "swinv2_cr_tiny_224",  # computes with its buffers while it is built
        "vit_tiny_patch16_224",
        "vit_tiny_r_s16_p8_224",  # asks its own stem for a size
    ],
)
def test_nets_of_timm_load_their_own_state_dict(name):
    """One of each manner of building; `benchmarks/libraries.py timm` goes through the whole list."""
    library = pytest.importorskip("timm")
    with torch.device("meta"):
        state = library.create_model(name, num_classes=7).state_dict()
    net, count, _ = build_for(state, partial(library.create_model, name), Path("weights"))
    assert count == net.num_classes == 7


def test_weights_of_another_net_are_refused_by_their_names(squeezed, tmp_path):
    _, folder = squeezed
    why = refused("MODEL-WEIGHTS", load_classifier, f"torchvision:resnet18={folder / 'plain.pth'}").why
    assert "conv1.weight" in why
    state = read_state(folder / "plain.pth")
    state["extra"] = torch.zeros(1)
    del state["features.0.bias"]
    torch.save(state, tmp_path / "other.pth")
    why = refused("MODEL-WEIGHTS", load_classifier, f"torchvision:squeezenet1_1={tmp_path / 'other.pth'}").why
    assert "features.0.bias" in why
    assert "extra" in why


WRAPPED = {
    "torch.compile": lambda s: pre("_orig_mod.", s),
    "compiled and parallel": lambda s: {"state_dict": pre("module._orig_mod.", s), "epoch": 3},
    "Lightning": lambda s: {"state_dict": pre("model.", s), "optimizer_states": [{"state": {0: torch.ones(2)}}]},
    "Lightning with a loss": lambda s: {"state_dict": pre("net.", s) | {"criterion.weight": torch.ones(3)}},
    "any prefix": lambda s: pre("some.where.", s),
    "NumPy scores": lambda s: {"state_dict": s, "best": np.float64(0.9), "epoch": np.int64(3), "curve": np.ones(3)},
    "options": lambda s: {"state_dict": s, "args": argparse.Namespace(lr=0.1, out=Path("runs"))},
    "moving average": lambda s: {"epoch": 3, "model_ema": s},
    "AveragedModel": lambda s: pre("module.", s) | {"n_averaged": torch.tensor(3)},
    "counters of thop": lambda s: s | {"total_ops": torch.zeros(1), "features.0.total_params": torch.zeros(1)},
}


def pre(start, state):
    return {start + key: tensor for key, tensor in state.items()}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("new", [True, False])
def test_a_state_dict_loads_in_whatever_a_trainer_wrapped_it(squeezed, tmp_path, wrap, new):
    own, _ = squeezed
    torch.save(wrap(own.state_dict()), tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    loaded = torchvision("squeezenet1_1", str(tmp_path / "w.pth"))
    assert all(torch.equal(loaded.net.state_dict()[key], tensor) for key, tensor in own.state_dict().items())
    assert not loaded.note


def test_of_several_nets_in_a_file_one_is_taken_and_the_note_says_which(squeezed, tmp_path):
    own, _ = squeezed
    file, zeros = tmp_path / "w.pth", {key: torch.zeros_like(tensor) for key, tensor in own.state_dict().items()}
    torch.save({"state_dict": own.state_dict(), "state_dict_ema": zeros}, file)
    first, ema = (torchvision("squeezenet1_1", f"{file}{part}") for part in ("", "#state_dict_ema"))
    assert "w.pth#state_dict_ema" in first.note
    assert not ema.note
    assert torch.equal(first.net.features[0].weight, own.features[0].weight)
    assert not ema.net.features[0].weight.any()
    error = refused("MODEL-WEIGHTS", load_classifier, f"torchvision:squeezenet1_1={file}#ema")
    assert "state_dict_ema" in error.do
    (tmp_path / "w#.pth").write_bytes(file.read_bytes())
    assert torchvision("squeezenet1_1", str(tmp_path / "w#.pth")).note


@pytest.mark.parametrize(
    "name", ["regnet_y_400mf", "regnet_x_400mf", "efficientnet_b0", "vit_b_16", "swin_t", "densenet121"]
)
def test_nets_of_torchvision_load_their_own_state_dict(name, tmp_path):
    """Some compute with numbers while they are built, which a net without memory cannot give."""
    from torchvision.models import get_model

    with init_empty_weights():
        state = get_model(name, weights=None, num_classes=3).state_dict()
    torch.save(
        {key: torch.zeros(tensor.shape, dtype=tensor.dtype) for key, tensor in state.items()}, tmp_path / "w.pth"
    )
    loaded = torchvision(name, str(tmp_path / "w.pth"))
    assert loaded.classes is None
    assert not any(tensor.is_meta for tensor in (*loaded.net.parameters(), *loaded.net.buffers()))


# Files that are no data


class Runs:
    """A pickle of it would make a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


#: First bytes of files of other frameworks.
KINDS = {
    "keras.h5": b"\x89HDF\r\n\x1a\n",
    "graph.tflite": b"\x1c\0\0\0TFL3",
    "saved.pb": b"\x08\x01\x12\x07",
    "array.npy": b"\x93NUMPY",
    "net.xml": b"<?xml",
    "picture.png": b"\x89PNG",
    "net.tar.gz": b"\x1f\x8b",
}


def planted(folder):
    """Files by the code that refuses them; those that run something would leave `mark`."""
    mark, small = folder / "mark", nn.Linear(2, 2)
    torch.save(Runs(mark), folder / "code.pt")
    torch.save({"a": Runs(mark)}, folder / "code-old.pth", _use_new_zipfile_serialization=False)
    for name in ("code.bin", "code.safetensors", "code.ckpt"):
        (folder / name).write_bytes(pickle.dumps(Runs(mark)))
    (folder / "kind-0.pt").write_bytes(f"cos\nsystem\n(S'touch {mark}'\ntR.".encode())
    torch.save(small, folder / "code-module.pt")
    with zipfile.ZipFile(folder / "spec-torchscript.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"net/{name}", b"")
    torch.export.save(torch.export.export(small, (torch.rand(1, 2),)), folder / "spec-export.pt2")
    (folder / "spec-onnx.pb").write_bytes(b"\x08\x09\x12\x07pytorch")
    torch.save(small.state_dict(), folder / "whole.pt")
    whole = (folder / "whole.pt").read_bytes()
    (folder / "bad-half.pt").write_bytes(whole[: len(whole) // 2])
    torch.save(small.state_dict(), folder / "bad-half.pth", _use_new_zipfile_serialization=False)
    (folder / "bad-half.pth").write_bytes((folder / "bad-half.pth").read_bytes()[:-9])
    (folder / "bad-empty.pt").write_bytes(b"")
    (folder / "kind-text.pt").write_text("weights go here")
    for name, start in KINDS.items():
        (folder / f"kind-{name}").write_bytes(start + bytes(600))
    with zipfile.ZipFile(folder / "kind-zip.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    (folder / "bad-page.pt").write_text("<!DOCTYPE html><html>404</html>")
    (folder / "bad-lfs.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0")
    (folder / "bad-header.safetensors").write_bytes((10**15).to_bytes(8, "little") + b"{}")
    save_file({"w": torch.zeros(9)}, folder / "bad-short.safetensors")
    (folder / "bad-short.safetensors").write_bytes((folder / "bad-short.safetensors").read_bytes()[:-3])
    torch.save({"w": torch.zeros(1).expand(10**12)}, folder / "bad-view.pt")
    torch.save([1, 2], folder / "kind-list.pt")
    itself = {}
    itself |= {"a": itself, "b": itself}
    torch.save(itself, folder / "kind-itself.pt")
    with zipfile.ZipFile(folder / "bad-bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", bytes(10**6))
    (folder / "kind-folder.pt").mkdir()
    (folder / "whole.pt").unlink()
    return mark


def test_no_file_of_weights_is_run(tmp_path):
    mark = planted(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 31
    codes = {"code": "CODE", "bad": "FILE-DAMAGED", "kind": "FILE-KIND", "spec": "FILE-SPEC"}
    for file in files:
        code = "MODEL-" + codes[re.split(r"\W", file.name)[0]]
        for spec in (str(file), f"torchvision:squeezenet1_1={file}"):
            error = refused(code, load_classifier, spec)
            assert str(file) in str(error)
            assert error.do
            assert "weights_only" not in str(error), "torch's advice is to run it"
            if code == "MODEL-CODE":
                assert hashlib.sha256(file.read_bytes()).hexdigest() in str(error)
    assert not mark.exists()
    assert "git lfs pull" in refused("MODEL-FILE-DAMAGED", load_classifier, str(tmp_path / "bad-lfs.safetensors")).do
    assert "system" in refused("MODEL-CODE", load_classifier, str(tmp_path / "code.pt")).why


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("spec-onnx.pb", "onnx:"),
        ("spec-torchscript.pt", "torchscript:"),
        ("spec-export.pt2", "export:"),
        ("kind-keras.h5", "Keras"),
        ("kind-graph.tflite", "Lite"),
        ("kind-saved.pb", "saved model"),
        ("bad-half.pt", "cut off"),
        ("bad-half.pth", "cut off"),
        ("bad-short.safetensors", "cut off"),
        ("kind-picture.png", "picture"),
    ],
)
def test_each_kind_of_file_is_called_what_it_is(tmp_path, file, says):
    planted(tmp_path)
    assert says in str(refusal(load_classifier, str(tmp_path / file)))


def test_a_state_dict_alone_does_not_say_what_it_is_of(squeezed):
    _, folder = squeezed
    for file in ("plain.pth", "plain.safetensors"):
        assert "torchvision:NAME=" in refused("MODEL-FILE-SPEC", load_classifier, str(folder / file)).do


# Code

CODE = """
from pathlib import Path
from torch import nn
import rather

Path({mark!r}).touch()

def make():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))

def make_classifier():
    return rather.Classifier(nn.Identity(), make(), classes="abc", shape=(1, 6, 6), name="mine")

def breaks():
    raise RuntimeError("no such weights")

number = 3
"""


@pytest.fixture
def code(tmp_path):
    file, mark = tmp_path / "mine.py", tmp_path / "mark"
    file.write_text(CODE.format(mark=str(mark)))
    return file, mark, [f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"]


def test_code_is_run_only_if_its_hash_is_named(code):
    file, mark, trust = code
    for known in ([], ["sha256:0"], [trust[0].upper()]):
        error = refused("MODEL-CODE", load_classifier, f"{file}:make", shape=SHAPE, trust=known)
        assert f"--trust {trust[0]}" in error.do
    assert not mark.exists()
    assert load_classifier(f"{file}:make", shape=SHAPE, trust=trust)(X).shape == (4, 3)
    assert mark.exists()
    file.write_text(file.read_text() + "# changed\n")
    refused("MODEL-CODE", load_classifier, f"{file}:make", shape=SHAPE, trust=trust)


def test_the_same_code_in_two_places_reads_what_lies_next_to_it(tmp_path):
    text = "from pathlib import Path\n\ndef make():\n    return Path(__file__).parent.name\n"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(text)
    trust = [f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"]
    made = [run_factory(f"{tmp_path / name}/mine.py:make", trust, {}) for name in ("one", "two")]
    assert made == ["one", "two"]


def test_code_that_makes_a_classifier(code):
    file, _, trust = code
    made = load_classifier(f"{file}:make_classifier", trust=trust)
    assert isinstance(made, Classifier)
    assert made.name == "mine"
    cut = load_classifier(f"{file}:make_classifier", trust=trust, layer="head.1")
    assert cut.features(X).shape == (4, 4, 4, 4)


def test_a_module_is_found_without_importing_it(code, monkeypatch):
    file, mark, trust = code
    package = file.parent / "package_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "nets.py").write_bytes(file.read_bytes())
    monkeypatch.syspath_prepend(str(file.parent))
    refused("MODEL-CODE", load_classifier, "package_of_mine.nets:make", shape=SHAPE)
    assert not mark.exists()
    load_classifier("package_of_mine.nets:make", shape=SHAPE, trust=trust)
    assert mark.exists()
    assert "package_of_mine" not in sys.modules


def test_code_that_fails(code):
    file, _, trust = code
    assert "no such weights" in refused("MODEL-FACTORY", load_classifier, f"{file}:breaks", trust=trust).why
    assert "callable" in refused("MODEL-FACTORY", load_classifier, f"{file}:number", trust=trust).why
    assert "make" in refused("MODEL-NOT-FOUND", load_classifier, f"{file}:maek", trust=trust).do
    refused("MODEL-INPUT", load_classifier, f"{file}:make", trust=trust)
