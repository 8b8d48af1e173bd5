"""A classifier behind an address: pictures go out by HTTP, and rows of numbers come back as JSON.

The words are those of TensorFlow Serving and KServe (version 1). One request is one batch:

    POST {"instances": [{"b64": PNG in base64}, ...]}       or, for ADDRESS#lists, nested lists (c, h, w) in [0, 1]
    200  {"predictions": [[number of each class], ...]}     one row for each instance, in their order
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any, Final, final
from urllib.error import HTTPError, URLError
from urllib.parse import urldefrag, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import torch
from torch import Tensor

from rather.config.errors import RatherError, brief
from rather.hub.libraries import Loaded
from rather.hub.trusted import is_allowed
from rather.io.png import png

_SECONDS: Final = 60  # for an answer
_LONGEST: Final = 64 * 2**20  # bytes of one
_FORMATS: Final = ("png", "lists")


def address(spec: str, trust: Sequence[str]) -> Loaded:
    """The classifier behind `http://HOST:PORT/PATH`; on another machine than this one it needs consent.

    Raises:
        RatherError: MODEL-ADDRESS.
    """
    url, form = urldefrag(spec)
    if form not in {"", *_FORMATS}:
        raise RatherError("MODEL-ADDRESS", where=spec, why=f"#{form} is no format", do=f"Say {url}#png or {url}#lists")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise RatherError("MODEL-ADDRESS", where=spec, why=str(error), do="Say http://HOST:PORT/PATH") from None
    origin = f"{parts.scheme}://{parts.netloc}"
    if not _is_here(host) and not is_allowed(origin, trust):
        why = "the pictures would leave this machine"
        raise RatherError("MODEL-ADDRESS", where=url, why=why, do=f"If they may, add --trust {origin}")
    return Loaded(name=host, net=_Address(url, form or "png"))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@final
class _NoRedirect(HTTPRedirectHandler):
    """An answer that sends on to another address is an error: consent was for this one."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


@final
class _Address:
    """An address as a function of a batch of images in [0, 1]."""

    def __init__(self, url: str, form: str) -> None:
        self.url, self.form = url, form

    def __call__(self, x: Tensor) -> Tensor:
        images = x.detach().cpu()
        content: Any = images.tolist() if self.form == "lists" else [{"b64": _base64(image)} for image in images]
        return self._numbers(self._ask(json.dumps({"instances": content}).encode()), len(x)).to(x.device)

    def _ask(self, body: bytes) -> bytes:
        request = Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310 - http or https
        try:
            with build_opener(ProxyHandler({}), _NoRedirect).open(request, timeout=_SECONDS) as answer:
                content: bytes = answer.read(_LONGEST + 1)
        except HTTPError as error:
            with error:
                text = error.read(200).decode(errors="replace")
            raise self._error(f"it answers {error.code}: {' '.join(text.split())}") from None
        except TimeoutError:
            raise self._error(f"no answer in {_SECONDS} seconds", "Start it, or lower --batch-size") from None
        except URLError as error:
            raise self._error(str(error.reason), "Start it first") from None
        except (OSError, HTTPException, ValueError) as error:
            raise self._error(brief(error)) from None
        if len(content) > _LONGEST:
            raise self._error(f"it answers with more than {_LONGEST >> 20} MiB")
        return content

    def _numbers(self, content: bytes, rows: int) -> Tensor:
        do = 'Answer {"predictions": [[number of each class], ...]}'
        try:
            answer = json.loads(content)
            numbers = torch.tensor(answer["predictions"] if isinstance(answer, dict) else answer, dtype=torch.float32)
        except KeyError:
            raise self._error(f'it has no "predictions", but {", ".join(answer)[:80]}', do) from None
        except (ValueError, TypeError, RuntimeError, RecursionError, OverflowError) as error:
            raise self._error(f"no table of numbers in JSON: {brief(error)}", do) from None
        if numbers.ndim not in {1, 2} or len(numbers) != rows:
            raise self._error(f"numbers of shape {tuple(numbers.shape)} for {rows} images", do)
        return numbers

    def _error(self, why: str, do: str = "") -> RatherError:
        return RatherError("MODEL-ADDRESS", where=self.url, why=why[:300], do=do)


def _base64(image: Tensor) -> str:
    if len(image) not in {1, 3} or not 0 <= float(image.min()) <= float(image.max()) <= 1:
        do = "Leave out mean and std, or send the numbers: ADDRESS#lists"
        raise RatherError("MODEL-ADDRESS", where="PNG", why="it holds 1 or 3 channels in [0, 1]", do=do)
    return base64.b64encode(png(image)).decode()
