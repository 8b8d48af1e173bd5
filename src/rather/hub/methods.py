"""Methods by name: one file each in `methods/`, others from an installed package or from a file of your own.

A new file in `methods/` is a new method, and nothing else has to know it. A package adds methods under the
entry-point group `rather.methods` (name -> class). `FILE.py:CLASS` is a method in a file, which needs consent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rather.hub.extensions import class_of, listed

if TYPE_CHECKING:
    from rather.core import Method


def list_methods() -> dict[str, str]:
    """Name and one line of every method, of the package and of others; nothing is imported for it."""
    return listed("methods")


def method_class(name: str) -> type[Method]:
    """The class of a method by its name, or of `FILE.py:CLASS`.

    Raises:
        RatherError: CFG-UNKNOWN, or what `trusted` raises of code.
    """
    from rather.core import Method

    return class_of(name, "methods", Method, list_methods())  # type: ignore[type-abstract] # to look for, not to make


def build_method(plan: Mapping[str, Any], resources: Mapping[str, Any] | None = None) -> Method:
    """The method of a plan, which `Method.settings` describes, with what it needs besides its settings.

    Args:
        plan: plain data; `name` says which method, a nested mapping with a `name` is a method itself.
        resources: reference images, generators, ...: given to every field of that name, at any depth.
    """
    from rather.core import Method

    rest = dict(plan)
    found = method_class(str(rest.pop("name", "")))
    for key, field in found.model_fields.items():
        if resources and key in resources and key not in rest:
            rest[key] = resources[key]
        elif isinstance(rest.get(key), Mapping | str) and field.annotation is Method:
            inner = rest[key]
            rest[key] = build_method({"name": inner} if isinstance(inner, str) else inner, resources)
    return found.of(rest)


def load_method(
    name: str,
    settings: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    *,
    trust: Sequence[str] = (),
) -> Method:
    """A method or a preset by its name.

    Args:
        name: of `list_methods`, or `FILE.py:CLASS` for a method of your own.
        settings: of the method; of a method that it wraps, in a table: `{"method": {"steps": 10}}`.
        resources: generators, reference images, ..., or their names, for every field of that name, at any depth.
        trust: `sha256:` and the hash of each file whose code may run.

    Raises:
        RatherError: CFG-UNKNOWN, CFG-SETTING, MODEL-CODE, or what loading a resource raises.

    Examples:
        >>> load_method("attack", {"steps": 5})
        Attack(steps=5)
    """
    from rather.hub.presets import expand
    from rather.hub.trusted import allow

    with allow(trust):
        return build_method(expand({"name": name, **(settings or {})}), resources)
