"""Checkpoints of guided-diffusion, the denoisers of DiME's and ACE's authors: Dhariwal and Nichol (2021).

P. Dhariwal, A. Nichol, "Diffusion models beat GANs on image synthesis", NeurIPS 2021. The state dict shows
the depth and the widths of its net, and where attention is; `Trained` has the rest. The U-Net of `diffusers`
has all the layers, under other names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor

from rather.config.errors import RatherError, did_you_mean
from rather.generators.ddpm import Denoiser, UNet
from rather.generators.noise_schedule import linear
from rather.hub.diffusers import fill
from rather.io.state_dicts import read_state, weights_of

State = Mapping[str, Tensor]
_GROUPS: Final = 32  # of channels that are normalised together, in every net of this layout
#: Names of a residual block's and of attention's layers: theirs -> that of `diffusers`.
_LAYERS: Final = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
    "norm": "group_norm",
}
_ENDS: Final = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


@final
@dataclass(frozen=True, kw_only=True)
class Trained:
    """How a net was trained, where its weights do not show it."""

    shape: tuple[int, int, int]
    levels: int = 1000  # timesteps of the linear schedule
    heads: int | None = None  # of attention; None for as many as have `head_channels` each
    head_channels: int = 64
    reach: int | None = None  # how many of the lowest timesteps it was trained on; None for all


_KNOWN: Final = ("input_blocks.0.0.weight", "out.2.weight")  # names that every such checkpoint has
#: The nets of ACE, by its authors' scripts. That of BDD100k knows only the lowest timesteps: the authors do not
#: say how many; 5 of 100 evenly spread ones need 41.
PUBLISHED: Final = {
    "celeba": Trained(shape=(3, 128, 128), levels=500, heads=4),
    "celeba-hq": Trained(shape=(3, 256, 256), levels=500),
    "bdd": Trained(shape=(3, 256, 512), reach=41),
    "imagenet": Trained(shape=(3, 256, 256)),
}


def published(name: str, file: str) -> Denoiser:
    """The denoiser of a checkpoint that was trained as one of `PUBLISHED`.

    Raises:
        RatherError: CFG-UNKNOWN for another name, and what `load_guided` raises.
    """
    if name not in PUBLISHED or not file:
        raise RatherError(
            "CFG-UNKNOWN",
            where=f"guided:{name}={file}",
            do=did_you_mean(name, [f"guided:{one}=FILE" for one in PUBLISHED]),
        )
    return load_guided(Path(file), PUBLISHED[name])


def load_guided(file: Path, trained: Trained) -> Denoiser:
    """The denoiser of a checkpoint: safetensors, or a state dict of torch, which is read as data.

    Args:
        file: the checkpoint.
        trained: how it was trained.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE, MODEL-FILE-DAMAGED, GEN-SIZE for images of other channels.
    """
    state, _ = weights_of(_KNOWN, read_state(file), file)
    try:
        net, renamed = _translated(state, trained)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        why = f"it is no checkpoint of guided-diffusion: {error}"
        raise RatherError("MODEL-FILE-DAMAGED", where=file, why=why[:200]) from error
    fill(net, renamed, file)
    c, outputs = len(state["input_blocks.0.0.weight"][0]), len(state["out.2.weight"])
    if c != trained.shape[0] or outputs not in {c, 2 * c}:
        raise RatherError("GEN-SIZE", where=file, why=f"of {c} channels it makes {outputs}")
    return Denoiser(
        net,
        shape=trained.shape,
        alpha_bar=linear(trained.levels),
        variance="learned" if outputs == 2 * c else "posterior",
        reach=trained.reach,
        name=file.stem,
    )


def _translated(state: State, trained: Trained) -> tuple[UNet, dict[str, Tensor]]:
    """The net, without memory, and its weights by its own names."""
    config = _config(state, trained)
    with torch.device("meta"):
        net = UNet(config)
    if trained.heads:  # in `diffusers` the heads of all levels are of one width
        from diffusers.models.attention_processor import Attention

        for module in net.modules():
            if isinstance(module, Attention):
                module.heads = trained.heads
    places, renamed = {**_ENDS, **dict(_places(state, config))}, dict[str, Tensor]()
    for key, tensor in state.items():
        theirs = next((place for place in places if key.startswith(f"{place}.")), None)
        if theirs is None:
            raise ValueError(f"unknown is {key}")
        renamed |= _tensors(places[theirs], key.removeprefix(f"{theirs}."), tensor.float(), trained)
    return net, renamed


def _config(state: State, trained: Trained) -> dict[str, Any]:
    """The settings of `diffusers` for such a net."""
    deep = _count(state, "input_blocks")
    ups = [n for n in range(_count(state, "output_blocks")) if _up(state, n)]
    layers = ups[0] if ups else deep - 1
    firsts = range(1, deep, layers + 1)  # the first block of each level
    channels = [len(state[f"input_blocks.{n}.0.out_layers.3.weight"]) for n in firsts]
    attends = [f"input_blocks.{n}.1.qkv.weight" in state for n in firsts]
    by_block = not any(key.endswith(".0.op.weight") for key in state)  # how sides are halved and doubled
    down, up = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if by_block else ("DownBlock2D", "UpBlock2D")
    shifts = len(state["input_blocks.1.0.emb_layers.1.weight"]) == 2 * channels[0]
    return {
        "sample_size": trained.shape[1:],
        "in_channels": len(state["input_blocks.0.0.weight"][0]),
        "out_channels": len(state["out.2.weight"]),
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": ["AttnDownBlock2D" if one else down for one in attends],
        "up_block_types": ["AttnUpBlock2D" if one else up for one in reversed(attends)],
        "downsample_type": "resnet" if by_block else "conv",
        "upsample_type": "resnet" if by_block else "conv",
        "resnet_time_scale_shift": "scale_shift" if shifts else "default",
        "attention_head_dim": 1 if trained.heads else trained.head_channels,
        "attn_norm_num_groups": _GROUPS,
        "norm_num_groups": _GROUPS,
    }


def _tensors(block: str, key: str, tensor: Tensor, trained: Trained) -> dict[str, Tensor]:
    """A tensor of a block by its name, or names, in `diffusers`."""
    layer, _, kind = key.rpartition(".")
    if layer == "qkv":  # of each head its queries, keys and values
        heads = trained.heads or len(tensor) // 3 // trained.head_channels
        parts = tensor.squeeze(-1).unflatten(0, (heads, 3, -1)).unbind(1)
        return {f"{block}.to_{n}.{kind}": part.flatten(0, 1) for n, part in zip("qkv", parts, strict=True)}
    if layer == "proj_out":
        return {f"{block}.to_out.0.{kind}": tensor.squeeze(-1)}
    names = filter(None, [block, _LAYERS.get(layer, layer), kind])
    return {".".join(names): tensor}


def _places(state: State, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The blocks, each with its place in `diffusers`."""
    levels, layers = len(config["block_out_channels"]), config["layers_per_block"]
    by_block = config["downsample_type"] == "resnet"
    for n in range(1, levels * (layers + 1)):
        level, layer = divmod(n - 1, layers + 1)
        block = f"down_blocks.{level}"
        if layer < layers:
            yield f"input_blocks.{n}.0", f"{block}.resnets.{layer}"
            yield f"input_blocks.{n}.1", f"{block}.attentions.{layer}"
        elif by_block:
            yield f"input_blocks.{n}.0", f"{block}.downsamplers.0"
        else:
            yield f"input_blocks.{n}.0.op", f"{block}.downsamplers.0.conv"
    for n, ours in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        yield f"middle_block.{n}", f"mid_block.{ours}"
    for n in range(levels * (layers + 1)):
        level, layer = divmod(n, layers + 1)
        block, up = f"up_blocks.{level}", _up(state, n)
        yield f"output_blocks.{n}.0", f"{block}.resnets.{layer}"
        if up:
            yield up, f"{block}.upsamplers.0"
        if up != f"output_blocks.{n}.1":
            yield f"output_blocks.{n}.1", f"{block}.attentions.{layer}"


def _up(state: State, n: int) -> str | None:
    """The part of an output block that doubles the sides: after the residual block and attention."""
    for place in (f"output_blocks.{n}.{m}" for m in (1, 2)):
        if f"{place}.in_layers.0.weight" in state or f"{place}.conv.weight" in state:
            return place
    return None


def _count(state: State, of: str) -> int:
    found = [int(match[1]) for key in state if (match := re.match(rf"{of}\.(\d+)\.", key))]
    return max(found) + 1
