"""Runs on disk: a folder with `run.json` and Parquet shards, each committed by one rename.

`run.json` says what was asked and is written first. A shard holds the rows of one chunk of the asked images,
with the PNG bytes inside; it is written aside, fsynced, renamed, and the folder is fsynced. So a row that is
there is whole, and resuming is: asked minus stored. A chunk is always computed whole and in the same order,
which makes an interrupted run end with the very pixels of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from rather.config.errors import RatherError
from rather.core import Status
from rather.io.images import EXTENSIONS
from rather.io.writing import unwritable, write_whole, writing

FORMAT = 4  # 1 had no `memory`; both 1 and 2 had other names; up to 3 `already` was `skipped`
_FORMER = {"question": "config", "asked": "ids", "pictures": "artifacts", "facts": "info"}
STATUSES: tuple[Status, ...] = ("found", "not_found", "already", "failed")


@final
@dataclass(frozen=True, kw_only=True)
class Row:
    """One image and its goal: the outcome, whatever it is."""

    id: str
    where: str  # where a person finds the image
    status: Status
    code: str = ""  # why not found, not searched or failed: a word
    message: str = ""  # and in a sentence
    label: str | None = None  # the true class, where known
    predicted: str | None = None  # what the classifier says of the image
    target: str | None = None
    confidence: float = 0.0  # that the target had to reach
    before: list[float] = field(default_factory=list)  # class probabilities of the image
    after: list[float] = field(default_factory=list)  # and of the counterfactual, read back from its PNG
    steps: int = 0
    evaluations: int = 0
    seconds: float = 0.0  # of the method's call, its share; not of judging, diagnostics and pictures; else 0
    memory: int | None = None  # bytes more at the peak of the method's call than before it, where known
    query: bytes | None = None  # PNG
    image: bytes | None = None  # PNG
    artifacts: dict[str, list[bytes]] = field(default_factory=dict)  # PNGs that only the method knows
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """What a person calls the image: a file by its name and folder, any other by its id."""
        path = Path(self.where)
        return str(Path(*path.parts[-2:])) if path.suffix.lower() in EXTENSIONS else self.id


_PNG = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_COLUMNS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "where": pa.string(),
    "status": pa.string(),
    "code": pa.string(),
    "message": pa.string(),
    "label": pa.string(),
    "predicted": pa.string(),
    "target": pa.string(),
    "confidence": pa.float64(),
    "before": pa.list_(pa.float32()),
    "after": pa.list_(pa.float32()),
    "steps": pa.int64(),
    "evaluations": pa.int64(),
    "seconds": pa.float64(),
    "memory": pa.int64(),
    "query": _PNG,
    "image": _PNG,
    "artifacts": pa.list_(pa.struct([("name", pa.string()), ("png", pa.binary())])),
    "info": pa.string(),
}
_OPTIONAL = {"label", "predicted", "target", "memory", "query", "image"}
# So that `datasets.load_dataset` shows pictures and not bytes.
_HUGGING_FACE = json.dumps(
    {
        "info": {
            "features": {
                name: {"_type": "Image"}
                if kind == _PNG
                else [{"name": {"dtype": "string", "_type": "Value"}, "png": {"dtype": "binary", "_type": "Value"}}]
                if name == "artifacts"
                else {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"}
                if pa.types.is_list(kind)
                else {"dtype": str(kind).replace("double", "float64"), "_type": "Value"}
                for name, kind in _COLUMNS.items()
            }
        }
    }
)
SCHEMA = pa.schema(list(_COLUMNS.items()), metadata={"huggingface": _HUGGING_FACE})
_FIRST_SCHEMA = SCHEMA.remove(SCHEMA.get_field_index("memory"))


@final
class Run:
    """A run's folder. Make one with `start`, or open what is there with `open`."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        ids: Sequence[str],
        chunk: int,
        *,
        written_as: int = FORMAT,
        notes: Sequence[str] = (),
    ) -> None:
        self.folder, self.config, self.ids, self.chunk = folder, config, tuple(ids), chunk
        self.written_as, self.notes = written_as, tuple(notes)

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """The run in a folder."""
        file = Path(folder) / "run.json"
        try:
            entry = _renamed(json.loads(file.read_text("utf-8")))
            if entry["format"] > FORMAT:
                raise RatherError("RUN-DAMAGED", where=file, why="written by a newer version", do="Upgrade rather")
            told = entry["config"], entry["ids"], entry["chunk"]
            return cls(Path(folder), *told, written_as=entry["format"], notes=entry.get("notes", ()))
        except (FileNotFoundError, NotADirectoryError):
            raise RatherError(
                "RUN-NOT-FOUND", where=folder, why="it has no run.json", do="Give the folder of a run"
            ) from None
        except OSError as error:
            raise unwritable(error, file) from None
        except (AttributeError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RatherError("RUN-DAMAGED", where=file, why=f"{type(error).__name__}: {error}"[:200]) from None

    @classmethod
    def start(
        cls, folder: Path | str, config: Mapping[str, Any], ids: Sequence[str], chunk: int, *, notes: Sequence[str] = ()
    ) -> Run:
        """The run that asks this: a new one, or the one that is there if it asks the same.

        Args:
            folder: of the run; made if it is not there.
            config: plain data, all that can change a result.
            ids: the ids of the images, each once.
            chunk: how many rows are computed and committed together.
            notes: what a reader of the run should know besides; no part of the question.
        """
        folder = Path(folder)
        file = folder / "run.json"
        plain = json.loads(json.dumps(config))
        entry = {"format": FORMAT, "config": plain, "ids": list(ids), "chunk": chunk, "notes": list(notes)}
        data = json.dumps(entry, indent=1, allow_nan=False).encode()
        if not file.exists():
            # Of two commands at once one makes the run; the other is busy, or compares what it finds.
            with writing(folder), cls(folder, plain, ids, chunk).lock():
                if not file.exists():
                    write_whole(file, data)
        run = cls.open(folder)
        different = sorted(key for key in {*run.config, *plain} if run.config.get(key) != plain.get(key)) + [
            "images"
        ] * (run.ids != tuple(ids))
        if different:
            raise RatherError(
                "RUN-MISMATCH",
                where=folder,
                why=f"another {', '.join(different)}",
                do="Choose another --out, or repeat that run's own command",
            )
        if run.written_as < FORMAT or run.notes != tuple(notes):
            with run.lock():  # what it stores from now on no older version can read
                write_whole(file, json.dumps(entry | {"chunk": run.chunk}, indent=1).encode())
            return cls.open(folder)
        return run

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for one process; the kernel lets go of it whatever happens to us."""
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RatherError("RUN-BUSY", where=self.folder, do="Wait for it, or choose another --out") from None
        except OSError as error:
            raise unwritable(error, self.folder) from None
        try:
            # Ours only: another process may be writing a report, and needs no lock.
            for name in ("rows-*.tmp", "run.json.*.tmp"):
                for leftover in self.folder.glob(name):
                    leftover.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def pending(self) -> list[range]:
        """The chunks that are not stored yet, as ranges of places in `asked`."""
        stored = set(self.column("id"))
        chunks = [range(n, min(n + self.chunk, len(self.ids))) for n in range(0, len(self.ids), self.chunk)]
        return [chunk for chunk in chunks if not all(self.ids[n] in stored for n in chunk)]

    def commit(self, rows: Sequence[Row]) -> None:
        """Store the rows of a chunk: when this returns they survive a kill, and power loss."""
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([record(row) for row in rows], SCHEMA), sink, compression="none")
        data = sink.getvalue().to_pybytes()
        first = self.ids.index(rows[0].id)
        name = f"rows-{first:08d}-{_digest(data)}.parquet"
        with writing(self.folder):
            write_whole(self.folder / name, data)

    def rows(self) -> Iterator[Row]:
        """The stored rows, in the order in which they were asked.

        Raises:
            RatherError: RUN-DAMAGED, with the shard that is not what was committed.
        """
        seen: set[str] = set()
        for shard in self._shards():
            with _reading(shard):
                data = shard.read_bytes()
                if not shard.stem.endswith(f"-{_digest(data)}"):
                    raise ValueError("its content is not what its name was made from")
                table = pq.ParquetFile(pa.BufferReader(data))
                fields = _renamed({field.name: field.type for field in table.schema_arrow})
                if pa.schema(list(fields.items())) not in (SCHEMA, _FIRST_SCHEMA):
                    raise ValueError("its columns are not those of a run")
                for batch in table.iter_batches(batch_size=64):
                    for entry in map(_renamed, batch.to_pylist()):
                        if entry["id"] not in seen:
                            seen.add(entry["id"])
                            yield _row({"memory": None} | entry)

    def damaged(self, row: str, why: str) -> RatherError:
        """What to say of a stored row that holds something else than its columns promise."""
        shard = next((shard for shard in self._shards() if row in _column(shard, "id")), self.folder)
        return _damaged(shard, f"row {row}: {why}")

    @contextmanager
    def reading(self, row: str) -> Iterator[None]:
        """A fault in a stored picture is named by its row and file."""
        try:
            yield
        except RatherError as error:
            raise self.damaged(row, str(error)) from None

    def counts(self) -> dict[str, int]:
        """How many rows have each status."""
        statuses = dict(zip(self.column("id"), self.column("status"), strict=True))
        stored = [_status(status) for status in statuses.values()]
        return {status: stored.count(status) for status in STATUSES}

    def shards(self) -> list[str]:
        """The names of what is stored; a name says what it contains."""
        return [shard.stem for shard in self._shards()]

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("rows-*.parquet"))

    def column(self, name: str) -> list[Any]:
        """A value of each stored row, without reading pictures."""
        return [value for shard in self._shards() for value in _column(shard, name)]


def folder_name(name: str, config: object, ids: Sequence[str]) -> str:
    """A folder's name that says what is asked: of another configuration, or of other images, it is another."""
    digest = hashlib.sha256(json.dumps([config, ids], sort_keys=True).encode()).hexdigest()[:8]
    return f"{name}-{digest}"


def _renamed(entry: dict[str, Any]) -> dict[str, Any]:
    """What an older format called by other names."""
    return {_FORMER.get(name, name): value for name, value in entry.items()}


def record(row: Row) -> dict[str, Any]:
    """A row as `SCHEMA` has it."""
    entry = asdict(row)
    for name in ("query", "image"):
        entry[name] = entry[name] and {"bytes": entry[name], "path": f"{row.id}.png"}
    entry["artifacts"] = [{"name": k, "png": png} for k, series in row.artifacts.items() for png in series]
    entry["info"] = json.dumps(row.info, allow_nan=False)
    # Names of files need not be UTF-8; what is stored is.
    entry["where"] = row.where.encode("utf-8", "backslashreplace").decode()
    entry["message"] = row.message.encode("utf-8", "backslashreplace").decode()
    return entry


def _status(stored: str) -> str:
    return "already" if stored == "skipped" else stored


def _row(entry: dict[str, Any]) -> Row:
    entry["status"] = _status(entry["status"])
    missing = [name for name in _COLUMNS if entry[name] is None and name not in _OPTIONAL]
    info = json.loads(entry["info"] or "{}")
    if missing or entry["status"] not in STATUSES or not isinstance(info, dict):
        raise ValueError(f"row {entry['id']} has no usable {', '.join(missing) or 'status or facts'}")
    for name in ("query", "image"):
        entry[name] = entry[name] and entry[name]["bytes"]
    series: dict[str, list[bytes]] = {}
    for picture in entry["artifacts"]:
        series.setdefault(picture["name"], []).append(picture["png"])
    return Row(**entry | {"artifacts": series, "info": info})


def _column(shard: Path, name: str) -> list[Any]:
    with _reading(shard):
        values: list[Any] = pq.ParquetFile(shard).read(columns=[name])[name].to_pylist()
    return values


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@contextmanager
def _reading(shard: Path) -> Iterator[None]:
    """Whatever is wrong with a shard, its bytes, columns or JSON: the person is entry which file it is."""
    try:
        yield
    except (ValueError, TypeError, KeyError, OSError, pa.ArrowException) as error:
        raise _damaged(shard, f"{type(error).__name__}: {error}") from None


def _damaged(shard: Path, why: str) -> RatherError:
    return RatherError(
        "RUN-DAMAGED",
        where=shard,
        why=why.replace(str(shard), "").strip()[:120],
        do="Remove this file and run the same command again: its rows are computed again",
    )
