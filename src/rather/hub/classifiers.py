"""Classifiers by name: those of the package, files, nets of other libraries, and a user's own code."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rather.config.errors import RatherError, did_you_mean
from rather.hub.preprocessing import NOTHING_SAID, Preprocessing, preprocess_of, resized
from rather.io.bundled import list_weights, weights_file

if TYPE_CHECKING:
    from rather.classifiers.names import Names
    from rather.config.output import Output
    from rather.core import Classifier
    from rather.hub.libraries import Loaded
    from rather.io.images import Shape

_CLASSIFIERS: Final = ("classifier", "latent-classifier")  # kinds of files
#: Datasets whose classifier has another name.
_OF_DATA: Final = {"faces": "faces-smile", "faces/others": "faces-smile"}
_KINDS: Final = (
    "torchvision:NAME",
    "timm:NAME",
    "hf:FOLDER",
    "onnx:FILE",
    "torchscript:FILE",
    "export:FILE",
    "http://127.0.0.1:PORT",
    "FILE.safetensors",
    "FILE.py:NAME",
)


def list_classifiers() -> dict[str, str]:
    """Name and one line of every bundled classifier."""
    return list_weights(*_CLASSIFIERS)


def classifier_of(data: str) -> str | None:
    """The name of the bundled classifier of a dataset of the package, if there is one."""
    name = _OF_DATA.get(data, data.replace("/", "-"))
    return name if name in list_classifiers() else None


def load_classifier(
    spec: str | Path,
    *,
    classes: Names | None = None,
    output: Output = "logits",
    layer: str | None = None,
    shape: Shape | None = None,
    preprocessing: Preprocessing = NOTHING_SAID,
    trust: Sequence[str] = (),
) -> Classifier:
    """A classifier by its name, as on the command line.

    Args:
        spec: a bundled classifier (`list_classifiers`); a file that `rather train` has written;
            `torchvision:NAME` or `timm:NAME` with their published weights, or `...:NAME=FILE` with those of a
            file (safetensors, or a state dict of torch); `hf:FOLDER` for transformers; `onnx:FILE`, or
            `onnxruntime:FILE` without gradients; `torchscript:FILE` or `export:FILE` for programs;
            `http://127.0.0.1:PORT/PATH`, see `rather.hub.addresses`; `module:name` or
            `path/file.py:name` for a net, a class of nets, a function that makes one (or a `Classifier`), or a
            function of images.
        classes: names, in the order of the outputs, or a file of them: see `rather.classifiers.names`.
        output: what the net's numbers are, one of `rather.config.output.Output`.
        layer: where to cut it into body and head; see `rather.classifiers.split.split`.
        shape: (c, h, w) of its images, where the spec does not say it.
        preprocessing: how pictures become its images, where that is not as its library has it.
        trust: `sha256:` and the hash of each file of code that may run.

    Raises:
        RatherError: MODEL-NOT-FOUND, -CODE, -FACTORY, -FILE-DAMAGED, -FILE-KIND, -FILE-SPEC, -FILE-MISSING,
            -WEIGHTS, -ADDRESS, -MISSING-LIBRARY, -PREPROCESS, CFG-OPTIONS, CFG-SETTING, or what `Classifier` raises.
    """
    from rather.classifiers.outputs import check_output
    from rather.core import Classifier

    check_output(output)
    found = _find(str(spec), trust, shape)
    if isinstance(found, Classifier):
        return _with_options(
            found, classes=classes, output=output, layer=layer, shape=shape, preprocessing=preprocessing
        )
    make = partial(
        Classifier,
        shape=shape or found.shape,
        classes=classes or found.classes,
        mean=preprocessing.mean,
        std=preprocessing.std,
        scale=preprocessing.scale,
        preprocess=preprocess_of(found, preprocessing, shape, trust),
        output=output,
        name=found.name,
        notes=(found.note,) if found.note else (),
    )
    classifier = make(found.net, layer=layer)
    if found.reference is not None:
        classifier.reference = (make(found.reference),)
    return classifier


def check_same_images(net: Classifier, first: Classifier) -> None:
    """Refuse a classifier that does not take the first one's images.

    Raises:
        RatherError: DATA-SHAPE.
    """
    if net.shape != first.shape:
        raise RatherError(
            "DATA-SHAPE",
            where=f"{first.name} takes {first.shape}",
            why=f"{net.name} takes {net.shape}",
            do="Compare classifiers of the same images",
        )


def _find(spec: str, trust: Sequence[str], shape: Shape | None) -> Classifier | Loaded:
    """What a spec names: a whole classifier, or a net and what is known of it."""
    if spec in list_classifiers():
        return _read(weights_file(spec, *_CLASSIFIERS))
    if Path(spec).exists():
        return _read(Path(spec))
    kind, _, rest = spec.partition(":")
    if not rest:
        raise RatherError("MODEL-NOT-FOUND", where=spec, do=did_you_mean(spec, [*list_classifiers(), *_KINDS]))
    return _foreign(kind, rest, trust, shape)


def _foreign(kind: str, rest: str, trust: Sequence[str], shape: Shape | None) -> Classifier | Loaded:
    """What `KIND:REST` names."""
    from rather.hub.addresses import address
    from rather.hub.libraries import LIBRARIES
    from rather.hub.onnx_files import onnx, onnxruntime
    from rather.hub.programs import exported, from_python, torchscript

    if kind in LIBRARIES:
        name, _, file = rest.partition("=")
        return LIBRARIES[kind](name, file)
    sources: dict[str, Callable[[], Loaded]] = {
        "onnx": lambda: onnx(rest, shape),
        "onnxruntime": lambda: onnxruntime(rest),
        "torchscript": lambda: torchscript(rest, trust),
        "export": lambda: exported(rest, trust),
        **dict.fromkeys(("http", "https"), lambda: address(f"{kind}:{rest}", trust)),
    }
    return sources[kind]() if kind in sources else from_python(f"{kind}:{rest}", trust)


def _read(path: Path) -> Classifier:
    """The classifier in a file that `rather train` has written; other files are refused."""
    from rather.hub.checkpoints import kind_of, read_classifier, read_latent
    from rather.io.file_kinds import file_kind, refuse_kind
    from rather.io.state_dicts import read_state

    kind = file_kind(path)
    if kind == "safetensors":
        return read_latent(path).classifier() if kind_of(path) == "latent-classifier" else read_classifier(path)
    if kind in {"pickle", "state dict"}:
        read_state(path)  # refuses what is no data
    raise refuse_kind(path, kind)


def _with_options(
    classifier: Classifier,
    *,
    classes: Names | None,
    output: Output,
    layer: str | None,
    shape: Shape | None,
    preprocessing: Preprocessing,
) -> Classifier:
    """A classifier with other class names, or cut at another layer."""
    from torch import nn

    from rather.core import Classifier

    if output != "logits" or shape not in {None, classifier.shape}:
        option = f"output {output}" if output != "logits" else f"shape {shape}"
        raise RatherError("CFG-OPTIONS", where=option, why=f"{classifier.name} has its own")
    classifier = resized(classifier, preprocessing)
    if classes is None and layer is None:
        return classifier
    if len(classifier.members) > 1:
        raise RatherError("CFG-OPTIONS", where=f"{classifier.name} is an ensemble", why="it is taken as it is")
    return Classifier(
        nn.Sequential(OrderedDict(body=classifier.body, head=classifier.head)),
        shape=classifier.shape,
        classes=classes or classifier.classes,
        mean=classifier.get_buffer("mean").flatten().tolist(),
        std=classifier.get_buffer("std").flatten().tolist(),
        preprocess=classifier.preprocess,
        layer=layer,
        name=classifier.name,
    )
