"""Pipelines of `diffusers` as denoisers for ACE and DiME; files are read as data, nothing in them runs.

It reads an unconditional `UNet2DModel` on pixels with `DDPMScheduler` or `DDIMScheduler`. Ours: predicted images
are always clipped to [-1, 1]; a reverse step is that of DDPM, for either scheduler. The library's own
`from_pretrained` is not strict enough: it ignores unknown settings and fills missing weights with random numbers.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from rather.config.errors import RatherError, brief
from rather.generators.ddpm import Denoiser, PredictionType, UNet, Variance
from rather.hub.checkpoints import Side
from rather.io.state_dicts import load_state, read_state

_JSON: Final = 1_000_000  # bytes, at most
_WEIGHTS: Final = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_PREDICTIONS: Final[dict[str, PredictionType]] = {"epsilon": "noise", "sample": "image", "v_prediction": "velocity"}
#: Names of attention's layers until 2023.
_RENAMED: Final = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


class _Config(BaseModel):
    """What a file must say; a setting with one allowed value is one that we do not support."""

    model_config = ConfigDict(frozen=True)


class _Index(_Config):
    """Of a whole pipeline: further parts are an autoencoder or take prompts."""

    model_config = ConfigDict(extra="allow")

    def others(self) -> set[str]:
        """The names of further parts."""
        parts = {key for key, value in (self.model_extra or {}).items() if isinstance(value, list) and any(value)}
        return parts - {"unet", "scheduler"}


class _Scheduler(_Config):
    kind: Literal["DDPMScheduler", "DDIMScheduler"] = Field(alias="_class_name")
    num_train_timesteps: Annotated[int, Field(ge=1, le=10_000)] = 1000
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 0.0001
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    trained_betas: Annotated[list[float], Field(max_length=10_000)] | None = None
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    variance_type: Literal["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned_range"] = (
        "fixed_small"
    )
    thresholding: Literal[False] = False
    rescale_betas_zero_snr: Literal[False] = False

    def alpha_bar(self) -> Float[Tensor, " t"]:
        """The image's share of the variance at each timestep."""
        from diffusers import DDPMScheduler

        schedule = {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"}
        levels: Tensor = DDPMScheduler(**self.model_dump(include=schedule)).alphas_cumprod
        return levels

    def variance(self) -> Variance:
        """Of a reverse step."""
        if self.variance_type == "learned_range":
            return "learned"
        return "beta" if self.variance_type.startswith("fixed_large") else "posterior"


class _UNet(_Config):
    """The bounds keep a forged file from asking for a giant net."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["UNet2DModel"] = Field(alias="_class_name")
    sample_size: Side | tuple[Side, Side]
    in_channels: Annotated[int, Field(ge=1, le=4)] = 3
    out_channels: Annotated[int, Field(ge=1, le=8)] = 3
    block_out_channels: Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(max_length=10)]
    layers_per_block: Annotated[int, Field(ge=1, le=16)] = 2
    num_class_embeds: None = None
    class_embed_type: None = None


C = TypeVar("C", bound=_Config)


def load_pipeline(place: str) -> Denoiser:
    """The denoiser of a pipeline's folder, or of the name of one on the hub.

    Raises:
        RatherError: see `load_denoiser`.
    """
    folder = Path(place) if Path(place).is_dir() else _downloaded(place)
    index = folder / "model_index.json"
    if index.is_file() and (others := _read(index, _Index)[0].others()):
        raise RatherError("GEN-SIZE", where=folder, why=f"it is more than a U-Net: {', '.join(sorted(others))}")
    scheduler, _ = _read(_inside(folder, "scheduler", "scheduler_config.json"), _Scheduler)
    file = _inside(folder, "unet", "config.json")
    unet, config = _read(file, _UNet)
    variance = scheduler.variance()
    outputs = unet.in_channels * (2 if variance == "learned" else 1)
    if unet.out_channels != outputs:
        raise RatherError("GEN-SIZE", where=file, why=f"out_channels is {unet.out_channels} and should be {outputs}")
    size = unet.sample_size
    return Denoiser(
        _net(file, {key: value for key, value in config.items() if not key.startswith("_")}),
        shape=(unet.in_channels, *((size, size) if isinstance(size, int) else size)),
        alpha_bar=scheduler.alpha_bar(),
        prediction_type=_PREDICTIONS[scheduler.prediction_type],
        variance=variance,
        name=folder.resolve().name,
    )


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", *(f"*{file}" for file in _WEIGHTS[:1])]))
    except Exception as error:
        do = "Give a folder that save_pretrained of a pipeline has written"
        raise RatherError("GEN-NOT-FOUND", where=f"diffusers:{name}", why=brief(error), do=do) from error


def _inside(folder: Path, part: str, name: str) -> Path:
    """A part's file: in a folder of its own or, in older pipelines, next to the others."""
    nested = folder / part / name
    return nested if nested.is_file() else folder / name


def _read(file: Path, kind: type[C]) -> tuple[C, dict[str, Any]]:
    """The content of a JSON file, checked and as it is."""
    try:
        with file.open("rb") as opened:
            content = json.loads(opened.read(_JSON))
        return kind.model_validate(content), content
    except OSError as error:
        do = "Give a folder that save_pretrained of a pipeline has written"
        raise RatherError("GEN-NOT-FOUND", where=file, why=error.strerror or "", do=do) from None
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}"
        raise RatherError("MODEL-FILE-DAMAGED", where=file, why=why[:200]) from None
    except (ValueError, RecursionError) as error:
        raise RatherError("MODEL-FILE-DAMAGED", where=file, why=brief(error)) from None


def _net(file: Path, config: dict[str, Any]) -> UNet:
    """The net that a file describes, with the weights next to it."""
    from diffusers import UNet2DModel

    unknown = sorted(config.keys() - inspect.signature(UNet2DModel.__init__).parameters.keys())
    if unknown:
        raise RatherError("MODEL-FILE-DAMAGED", where=file, why=f"unknown are {', '.join(unknown)}"[:200])
    try:
        with torch.device("meta"):  # neither memory nor random numbers are spent on what the weights replace
            net = UNet(config)
    except Exception as error:
        raise RatherError("MODEL-FILE-DAMAGED", where=file, why=brief(error)) from error
    weights = next((one for name in _WEIGHTS if (one := file.with_name(name)).is_file()), file.with_name(_WEIGHTS[0]))
    state = {_current_name(key): tensor.float() for key, tensor in read_state(weights).items()}
    fill(net, state, weights)
    return net


def _current_name(key: str) -> str:
    for old, new in _RENAMED.items():
        key = key.replace(old, new)
    return key


def fill(net: UNet, state: dict[str, Tensor], file: Path) -> None:
    """Load weights into a net that was built on the `meta` device.

    Args:
        net: without memory so far.
        state: the weights; names and shapes must be the net's.
        file: their source, for error messages.

    Raises:
        RatherError: MODEL-WEIGHTS or MODEL-FILE-DAMAGED.
    """
    load_state(net.net, state, file)
    if any(tensor.is_meta for tensor in (*net.parameters(), *net.buffers())):
        raise RatherError("MODEL-FILE-DAMAGED", where=file, why="it leaves out what its net needs")
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise RatherError("MODEL-FILE-DAMAGED", where=file, why=f"{name} is not finite")
