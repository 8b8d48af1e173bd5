"""What lies in a user's folder: pictures by part and class, and how much else, which is left out.

Hidden files and folders, and `__MACOSX`, are as if they were not there. Links to folders are followed at the top
only, so that no loop can hang.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final
from unicodedata import normalize

from rather.config.errors import RatherError
from rather.data.files import is_picture, text
from rather.io.images import EXTENSIONS

#: The part of a data set that a folder of this name holds.
_PARTS: Final = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SEVERAL: Final = 2  # one folder alone is no choice between classes
_KINDS: Final = 8  # of what is left out, that are named


@final
@dataclass
class Tally:
    """How much of each kind is left out."""

    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, count: int) -> None:
        """Count more of a kind."""
        if count:
            self.kinds[kind] += count

    def note(self, name: str) -> tuple[str, ...]:
        """In a line; none where all was taken."""
        if not self.kinds:
            return ()
        named = [f"{kind} {count}" for kind, count in self.kinds.most_common()]
        more = [f"{len(named) - _KINDS} kinds more"] if len(named) > _KINDS else []
        return (f"left out of {name}: {', '.join([*named[:_KINDS], *more])}",)


@final
@dataclass(frozen=True)
class Layout:
    """The pictures of a folder, each with the folder that is its class, or ""."""

    parts: Mapping[str, Sequence[tuple[Path, str]]]  # by "train", "val" and "test"; "" where there are no such folders
    left_out: Tally

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the folders that are classes, sorted."""
        return tuple(sorted({name for pictures in self.parts.values() for _, name in pictures if name}))


def read_layout(folder: Path) -> Layout:
    """Find the pictures of a folder.

    Folders named train, val (valid, validation) and test are parts if they hold the same classes, or if there are no
    other folders. Each other folder with pictures is a class, with all pictures below it; names are compared by
    their letters, however Unicode composes them. Loose pictures count only where there are no two such folders.

    Raises:
        RatherError: DATA-NOT-FOUND for a folder that cannot be listed, DATA-EMPTY for one without pictures.
    """
    left_out = Tally()
    parts = _parts(folder, left_out) or {"": _labelled(folder, left_out)}
    if not any(parts.values()):
        raise RatherError("DATA-EMPTY", where=text(folder), why=f"looked for {', '.join(EXTENSIONS)}")
    return Layout(parts, left_out)


def all_below(folder: Path, left_out: Tally) -> list[Path]:
    """All pictures in a folder and in the folders below it; what is none is counted."""
    pictures, folders = _listed(folder, left_out)
    links = [inner for inner in folders if inner.is_symlink()]
    left_out.add("links to folders", len(links))
    return pictures + [path for inner in folders if inner not in links for path in all_below(inner, left_out)]


def composed(name: str | Path) -> str:
    """A name in the one form in which names are compared."""
    return normalize("NFC", text(name))


def _parts(folder: Path, left_out: Tally) -> dict[str, list[tuple[Path, str]]]:
    """The pictures of each part; empty if the folder has no parts."""
    loose, folders = _listed(folder, Tally())
    named = [inner for inner in folders if _part(inner) and _has_pictures(inner)]
    others = [inner for inner in folders if inner not in named and _has_pictures(inner)]
    inside = [{composed(each.name) for each in _class_folders(inner)} for inner in named]
    shared = set.intersection(*inside) if len(inside) >= _SEVERAL else set()
    if not named or (others and not shared):
        return {}
    _listed(folder, left_out)  # this time what is no picture counts
    left_out.add("loose pictures", len(loose))
    left_out.add("other folders", len(others))
    found: dict[str, list[tuple[Path, str]]] = {}
    for inner in named:
        found.setdefault(_part(inner), []).extend(_labelled(inner, left_out))
    return found


def _labelled(folder: Path, left_out: Tally) -> list[tuple[Path, str]]:
    """The pictures of a folder with their classes."""
    loose, folders = _listed(folder, left_out)
    found = {inner: all_below(inner, left_out) for inner in folders}
    classes = {inner: pictures for inner, pictures in found.items() if pictures}
    left_out.add("empty folders", len(found) - len(classes))
    if loose and len(classes) < _SEVERAL:
        left_out.add("pictures in a folder", sum(map(len, classes.values())))
        return [(path, "") for path in loose]
    left_out.add("loose pictures", len(loose))
    return [(path, composed(inner.name)) for inner, pictures in classes.items() for path in pictures]


def _class_folders(folder: Path) -> list[Path]:
    return [inner for inner in _listed(folder, Tally())[1] if _has_pictures(inner)]


def _part(folder: Path) -> str:
    return _PARTS.get(folder.name.lower(), "")


def _has_pictures(folder: Path) -> bool:
    return next(_walk(folder), None) is not None


def _walk(folder: Path) -> Iterator[Path]:
    pictures, folders = _listed(folder, Tally())
    yield from pictures
    for inner in folders:
        if not inner.is_symlink():
            yield from _walk(inner)


def _listed(folder: Path, left_out: Tally) -> tuple[list[Path], list[Path]]:
    """The pictures and the folders in a folder, by name; what is neither is counted."""
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX")
    except OSError as error:
        raise RatherError("DATA-NOT-FOUND", where=text(folder), why=error.strerror or "") from None
    folders = [path for path in inside if path.is_dir()]
    files = sorted({*inside}.difference(folders))
    left_out.kinds.update(path.suffix.lower() or "without an ending" for path in files if not is_picture(path.name))
    return [path for path in files if is_picture(path.name)], folders
