"""What every test of refused input shares."""

from collections.abc import Callable
from typing import Any

import pytest

from rather.config.errors import RatherError


def refusal(call: Callable[..., object], *arguments: Any, **options: Any) -> RatherError:
    """The error that a call raises: one line, with an exit code of its kind."""
    with pytest.raises(RatherError) as refused:
        call(*arguments, **options)
    assert "\n" not in str(refused.value)
    return refused.value


def code_of(call: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """The code of that error."""
    return refusal(call, *arguments, **options).code
