"""ONNX files: as a net of torch where they can be converted, so that they have gradients; else as a black box."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from torch import Tensor, nn

from rather.classifiers.checks import CLOSE, difference, noise, run
from rather.classifiers.copies import FixedBatch
from rather.classifiers.outputs import Function
from rather.config.errors import RatherError, brief
from rather.hub.libraries import Loaded, extra
from rather.io.file_kinds import damaged, file_kind, refuse_kind
from rather.io.images import Shape

_OPSET: Final = 17  # the newest that onnx2torch knows
_NEWER: Final = ("Gelu", "HardSwish", "Mish")  # operators that are written out in older ones
_CHANNELS: Final = range(1, 17)
_DTYPES: Final[Mapping[str, type[np.generic]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


def onnx(file: str, shape: Shape | None) -> Loaded:
    """The net of an ONNX file, with gradients where onnx2torch converts it to one that gives the same answers.

    Args:
        file: the path.
        shape: (c, h, w) of its images, where the file leaves it open.

    Raises:
        RatherError: MODEL-MISSING-LIBRARY, MODEL-FILE-MISSING for weights in another file that is not there,
            MODEL-FILE-DAMAGED, MODEL-INPUT for a net that does not take one batch of images, or what `file_kind`
            raises.
    """
    found = onnxruntime(file)
    size = found.shape or shape
    if size is None:
        return found
    assert isinstance(found.net, nn.Module)  # noqa: S101 - `_black_box` makes it
    try:
        with warnings.catch_warnings(action="ignore"):
            net = _same_in_torch(Path(file), found.net, size)
    except Exception as error:  # noqa: BLE001 - a converter may raise anything
        note = f"{Path(file).name} is a black box, without gradients: onnx2torch says {brief(error)}"
        return replace(found, note=note)
    return replace(found, net=net, reference=found.net)


def onnxruntime(file: str) -> Loaded:
    """The net of an ONNX file as a black box: it answers, and has no gradients."""
    path = Path(file)
    kind = file_kind(path)
    if kind != "onnx":
        raise refuse_kind(path, kind)
    with extra("onnx"):
        import onnx as library
        import onnxruntime as runtime
    _check(path, library)
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RatherError("MODEL-FILE-KIND", where=path, why=f"onnxruntime cannot run it: {brief(error)}") from error
    return _black_box(path, session)


def _check(path: Path, library: Any) -> None:
    """Refuse a file that is not whole, before onnxruntime opens it."""
    try:
        model = library.load(path, load_external_data=False)
        missing = [part for part in _parts(path, model) if not part.is_file()]
        if not missing:
            library.checker.check_model(str(path))
    except Exception as error:
        raise damaged(path, f"it is cut off, or no ONNX: {brief(error)}") from error
    if missing:
        do = f"Put it next to {path.name}, whose weights it holds"
        raise RatherError("MODEL-FILE-MISSING", where=missing[0], do=do)


def _parts(path: Path, model: Any) -> list[Path]:
    """The other files that hold weights of a model."""
    entries = [entry for one in model.graph.initializer for entry in one.external_data if entry.key == "location"]
    return [path.parent / name for name in sorted({entry.value for entry in entries})]


def _black_box(path: Path, session: Any) -> Loaded:
    """The session as a function of a batch of images, whose shape it mostly says."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _DTYPES:  # noqa: PLR2004 - b, c, h, w
        why = " and ".join(f"{one.name}: {one.type} of {one.shape}" for one in inputs)
        do = "Give a net of one batch of images, (b, c, h, w)"
        raise RatherError("MODEL-INPUT", where=path, why=f"it takes {why}"[:200], do=do)
    batch, *size = inputs[0].shape
    last = size[2] in _CHANNELS and size[0] not in _CHANNELS
    c, h, w = (size[2], size[0], size[1]) if last else size
    net: nn.Module = Function(_Session(session, channels_last=last))
    return Loaded(
        name=path.stem,
        net=FixedBatch(net, batch) if isinstance(batch, int) and batch > 0 else net,
        shape=(c, h, w) if all(isinstance(side, int) and side > 0 for side in size) else None,
    )


@final
class _Session:
    """A session of onnxruntime as a function of torch's tensors; 8-bit nets get numbers from 0 to 255."""

    def __init__(self, session: Any, *, channels_last: bool) -> None:
        self.session, self.channels_last = session, channels_last
        (self.input,) = session.get_inputs()
        self.names = [one.name for one in session.get_outputs()]

    def __deepcopy__(self, _memo: object) -> _Session:
        return self  # nothing in it changes

    def __call__(self, x: Tensor) -> dict[str, Tensor] | Tensor:
        images = x.detach().cpu().numpy()
        if self.input.type == "tensor(uint8)":
            images = (255 * images).round()
        images = images.astype(_DTYPES[self.input.type])
        answers = self.session.run(
            None, {self.input.name: images.transpose(0, 2, 3, 1) if self.channels_last else images}
        )
        floats = {
            name: torch.as_tensor(np.asarray(answer, np.float32), device=x.device)
            for name, answer in zip(self.names, answers, strict=True)
            if isinstance(answer, np.ndarray) and np.issubdtype(answer.dtype, np.floating)
        }
        return next(iter(floats.values())) if len(floats) == 1 else floats


def _same_in_torch(path: Path, black_box: nn.Module, shape: Shape) -> nn.Module:
    """The file's net of torch, if it gives the same answers as the black box; ValueError otherwise."""
    import onnx2torch

    x = noise(3, shape)
    wanted = run(black_box, x)
    net: nn.Module = onnx2torch.convert(_in_older_words(path)).eval()
    candidates = [net]
    if isinstance(black_box, FixedBatch):
        candidates.append(FixedBatch(net, black_box.size))
    for candidate in candidates:
        try:
            if difference(run(candidate, x), wanted) <= CLOSE:
                return candidate
        except RatherError as error:
            why = error.why
            continue
        why = "the converted net gives other answers than onnxruntime"
    raise ValueError(why)


def _in_older_words(path: Path) -> Any:
    """The model with constants computed, and in the operators of an opset that onnx2torch knows.

    Whether this changed what it computes, the comparison of answers shows.
    """
    import onnx as library
    import onnxruntime as runtime
    from onnx import inliner

    with tempfile.TemporaryDirectory() as folder:
        plain, simple = Path(folder) / "plain.onnx", Path(folder) / "simple.onnx"
        names = [("", name) for name in _NEWER]
        model = inliner.inline_selected_functions(library.load(path), names, inline_schema_functions=True)
        library.save(model, plain)
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.log_severity_level, options.optimized_model_filepath = 4, str(simple)
        runtime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
        model = library.load(simple)
    _axes_as_attributes(model.graph, library)
    for opset in model.opset_import:
        if opset.domain == "":
            opset.version = min(opset.version, _OPSET)
    return model


def _axes_as_attributes(graph: Any, library: Any) -> None:
    """Write the axes of a mean, a maximum or a minimum as before opset 18, where they were no input."""
    constants = {one.name: library.numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.input) > 1:
            axes: Sequence[int] = constants[node.input.pop()].tolist()
            node.attribute.append(library.helper.make_attribute("axes", axes))
