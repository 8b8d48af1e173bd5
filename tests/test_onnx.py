"""ONNX files: the same answers as onnxruntime's, with gradients where a net of torch gives them."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from rather.core import Classifier, preflight
from rather.hub.classifiers import load_classifier
from refusing import refusal

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx2torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
X = torch.rand(5, 3, 8, 6, generator=torch.Generator().manual_seed(1))


def net(activation=nn.ReLU):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()


def write(file, *, batch="b", opset=18, activation="Relu", layout="chw", dtype="FLOAT", sizes=(3, 8, 6), weights=None):
    """The net as an ONNX file. The bias goes through an Identity, as exporters write what layers share."""
    h, own = onnx.helper, net().state_dict()
    state = {key: tensor.numpy() for key, tensor in (weights or own).items()}
    nodes, image = [], "image"
    if layout == "hwc":
        nodes.append(h.make_node("Transpose", [image], ["moved"], perm=[0, 3, 1, 2]))
        sizes, image = (*sizes[1:], sizes[0]), "moved"
    if dtype == "UINT8":
        nodes.append(h.make_node("Cast", [image], ["floats"], to=onnx.TensorProto.FLOAT))
        nodes.append(h.make_node("Div", ["floats", "255"], ["unit"]))
        image = "unit"
    nodes += [
        h.make_node("Identity", ["0.bias"], ["shared"]),
        h.make_node("Conv", [image, "0.weight", "shared"], ["map"]),
        h.make_node(activation, ["map"], ["active"]),
        h.make_node("ReduceMean", ["active", "axes"], ["mean"], keepdims=0),
        h.make_node("Gemm", ["mean", "4.weight", "4.bias"], ["logits"], transB=1),
    ]
    state |= {"axes": np.array([2, 3], np.int64), "255": np.array(255, np.float32)}
    graph = h.make_graph(
        nodes,
        "net",
        [h.make_tensor_value_info("image", getattr(onnx.TensorProto, dtype), [batch, *sizes])],
        [h.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [batch, 3])],
        [onnx.numpy_helper.from_array(value, name) for name, value in state.items()],
    )
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=9), file)
    return f"onnx:{file}"


@pytest.mark.parametrize("batch", ["b", 1, 2])
@pytest.mark.parametrize("opset", [18, 20])
def test_a_file_that_converts_answers_with_gradients(tmp_path, batch, opset):
    classifier = load_classifier(write(tmp_path / "net.onnx", batch=batch, opset=opset))
    assert classifier.shape == (3, 8, 6)
    assert not classifier.notes
    x, own = X.clone().requires_grad_(), X.clone().requires_grad_()
    answers, expected = classifier(x), net()(own)
    torch.testing.assert_close(answers, expected)
    (gradient,), (wanted,) = (torch.autograd.grad(y[:, 1].sum(), z) for y, z in ((answers, x), (expected, own)))
    torch.testing.assert_close(gradient, wanted)
    assert preflight(classifier, X) == []
    assert classifier.fingerprint() == load_classifier(f"onnx:{tmp_path / 'net.onnx'}").fingerprint()


def test_operators_of_newer_files_are_written_out(tmp_path):
    classifier = load_classifier(write(tmp_path / "net.onnx", activation="Gelu", opset=20))
    assert not classifier.notes
    torch.testing.assert_close(classifier(X), net(nn.GELU)(X).detach())


@pytest.mark.parametrize(("prefix", "activation"), [("onnxruntime", "Relu"), ("onnx", "ThresholdedRelu")])
@pytest.mark.parametrize("batch", ["b", 2])
def test_a_black_box_answers_without_gradients(tmp_path, prefix, activation, batch):
    file = tmp_path / "net.onnx"
    write(file, activation=activation, batch=batch)
    classifier = load_classifier(f"{prefix}:{file}")
    assert any("black box" in note for note in classifier.notes) == (prefix == "onnx")
    expected = net((lambda: nn.Threshold(1.0, 0.0)) if prefix == "onnx" else nn.ReLU)(X).detach()
    answers = classifier(X.clone().requires_grad_())
    torch.testing.assert_close(answers, expected)
    assert not answers.requires_grad
    assert any("gradient" in note for note in preflight(classifier, X))


@pytest.mark.parametrize("dtype", ["FLOAT", "UINT8"])
def test_channels_may_come_last_and_numbers_may_be_bytes(tmp_path, dtype):
    classifier = load_classifier(write(tmp_path / "net.onnx", layout="hwc", dtype=dtype, sizes=(3, 32, 24)))
    assert classifier.shape == (3, 32, 24)
    x = (torch.rand(2, 3, 32, 24) * 255).round() / 255
    torch.testing.assert_close(classifier(x).detach(), net()(x).detach())


def test_an_open_size_has_to_be_said(tmp_path):
    spec = write(tmp_path / "net.onnx", sizes=(3, "h", "w"))
    assert refusal(load_classifier, spec).code == "MODEL-INPUT"
    torch.testing.assert_close(load_classifier(spec, shape=(3, 8, 6))(X).detach(), net()(X).detach())


def test_a_converted_net_that_contradicts_its_file_is_refused(tmp_path):
    classifier = load_classifier(write(tmp_path / "net.onnx"))
    other = Classifier(nn.Sequential(net(), nn.Linear(3, 3)), shape=(3, 8, 6))
    classifier.reference = (other,)
    assert refusal(preflight, classifier, X).code == "MODEL-CONVERTED"


def test_faults_of_files_are_told_apart(tmp_path, monkeypatch):
    file = tmp_path / "net.onnx"
    spec = write(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    assert refusal(load_classifier, spec).code == "MODEL-FILE-DAMAGED"
    file.write_bytes(whole)
    onnx.save(onnx.load(file), file, save_as_external_data=True, size_threshold=100, location="net.data")
    load_classifier(spec)
    (tmp_path / "net.data").unlink()
    assert "net.data" in str(refusal(load_classifier, spec))
    write(file, sizes=(3, 8))
    assert refusal(load_classifier, spec).code in {"MODEL-INPUT", "MODEL-FILE-DAMAGED", "MODEL-FILE-KIND"}
    torch.save(net().state_dict(), file)
    assert refusal(load_classifier, spec).code == "MODEL-FILE-SPEC"
    write(file)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    error = refusal(load_classifier, spec)
    assert (error.code, error.do) == ("MODEL-MISSING-LIBRARY", "pip install 'rather[onnx]'")
