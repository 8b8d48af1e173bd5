"""Folders of transformers: whole ones load, and each fault of one has its own line."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from rather.hub.classifiers import load_classifier
from refusing import refusal

transformers = pytest.importorskip("transformers")


def resnet(width, classes=2):
    torch.manual_seed(0)
    names = {n: f"class {n}" for n in range(classes)}
    settings = {"embedding_size": width, "hidden_sizes": [width, width], "depths": [1, 1], "layer_type": "basic"}
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(**settings, id2label=names)).eval()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    resnet(8).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("classes", [2, 7])
def test_a_whole_folder_loads_without_a_word(whole, tmp_path, classes, capfd):
    shutil.copytree(whole, tmp_path / "net")
    own = resnet(8, classes)
    own.save_pretrained(tmp_path / "net")
    capfd.readouterr()
    classifier = load_classifier(f"hf:{tmp_path / 'net'}")
    assert capfd.readouterr() == ("", "")
    assert classifier.classes == tuple(f"class {n}" for n in range(classes))
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(classifier(x), own((x - 0.5) / 0.5).logits)


def drop(name):
    return lambda folder: (folder / name).unlink()


def put(name, content):
    return lambda folder: (folder / name).write_text(content)


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def headless(folder):
    state = {key: tensor for key, tensor in resnet(8).state_dict().items() if "classifier" not in key}
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def other(folder):
    save_file(resnet(4).state_dict(), folder / "model.safetensors", {"format": "pt"})


def pickled(folder):
    drop("model.safetensors")(folder)
    torch.save({}, folder / "pytorch_model.bin")


def index(content):
    return put("model.safetensors.index.json", json.dumps(content))


@pytest.mark.parametrize(
    ("code", "says", "harm"),
    [
        ("FILE-MISSING", "config.json", drop("config.json")),
        ("FILE-MISSING", "model.safetensors", drop("model.safetensors")),
        ("FILE-MISSING", "pytorch_model.bin", pickled),
        ("FILE-MISSING", "part-2", index({"weight_map": {"a": "model.safetensors", "b": "part-2.safetensors"}})),
        ("FILE-DAMAGED", "names no files", index({})),
        ("FILE-DAMAGED", "cut off", cut),
        ("FILE-DAMAGED", "git lfs pull", put("model.safetensors", "version https://git-lfs.github.com/spec/v1")),
        ("FILE-DAMAGED", "config.json", put("config.json", "{")),
        ("WEIGHTS", "it lacks classifier", headless),
        ("WEIGHTS", "of another shape", other),
        ("NOT-FOUND", "BertConfig", put("config.json", '{"model_type": "bert"}')),
    ],
)
def test_each_fault_of_a_folder_has_its_own_line(whole, tmp_path, code, says, harm):
    shutil.copytree(whole, tmp_path / "net")
    harm(tmp_path / "net")
    error = refusal(load_classifier, f"hf:{tmp_path / 'net'}")
    assert error.code == f"MODEL-{code}"
    assert says in str(error)
    assert str(tmp_path) in str(error)
