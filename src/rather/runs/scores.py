"""What was measured of a run's rows, in a Parquet file of the run: measuring again never touches a picture.

A file is named by what measured, by the rows that were measured and by its own content. Other nets, or other rows,
make another file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, final

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Status
from rather.io.writing import write_whole, writing
from rather.runs.store import Row, Run

FORMAT: Final = 4
_BATCH: Final = 64  # rows whose pictures are in memory

#: Of some rows, all with a query and an answer, a number or a vector for each.
Measured = Mapping[str, Float[Tensor, "b *d"]]


@final
@dataclass(frozen=True, eq=False)
class Scores:
    """Of each row its outcome and its numbers; NaN for a row without an answer."""

    ids: tuple[str, ...]
    statuses: tuple[Status, ...]
    values: Mapping[str, Float[Tensor, "n *d"]]  # in 64 bits

    def __len__(self) -> int:
        return len(self.ids)


def scores_of(run: Run, question: Mapping[str, Any], measure: Callable[[Sequence[Row]], Measured]) -> Scores:
    """The scores of a run's rows: those that are stored, or measured now and stored.

    Args:
        run: whose rows; all that are stored.
        question: plain data, all that can change a score: which metrics of which version, and by which nets.
        measure: from rows that have a query and an answer to their numbers.

    Raises:
        RatherError: RUN-DAMAGED of the rows, or the folder cannot be written.
    """
    asked = json.dumps([FORMAT, question, run.shards()], sort_keys=True)
    key = _digest(asked.encode())
    for file in sorted(run.folder.glob(f"scores-{key}-*.parquet")):
        data = file.read_bytes()
        if file.stem.endswith(_digest(data)):  # else it is damaged, and measured again
            return _read(data)
    scores = _measured(run.rows(), measure)
    data = _written(scores)
    with writing(run.folder):
        write_whole(run.folder / f"scores-{key}-{_digest(data)}.parquet", data)
    return scores


def _measured(rows: Iterator[Row], measure: Callable[[Sequence[Row]], Measured]) -> Scores:
    ids: list[str] = []
    statuses: list[Status] = []
    places: list[int] = []  # of the rows that are measured
    parts: list[Measured] = []
    while some := [*islice(rows, _BATCH)]:
        places += [len(ids) + n for n, row in enumerate(some) if row.query and row.image]
        ids += [row.id for row in some]
        statuses += [row.status for row in some]
        if answered := [row for row in some if row.query and row.image]:
            parts.append(measure(answered))
    values = {name: torch.cat([part[name] for part in parts]).double() for name in (parts[0] if parts else ())}
    at = torch.tensor(places, dtype=torch.long)
    return Scores(
        tuple(ids),
        tuple(statuses),
        {
            name: torch.full((len(ids), *one.shape[1:]), torch.nan, dtype=torch.float64).index_copy_(0, at, one)
            for name, one in values.items()
        },
    )


def _written(scores: Scores) -> bytes:
    columns = {"id": pa.array(scores.ids), "status": pa.array(scores.statuses)} | {
        name: pa.array(values.tolist()) for name, values in scores.values.items()
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _read(data: bytes) -> Scores:
    columns = pq.ParquetFile(pa.BufferReader(data)).read().to_pydict()
    ids, statuses = columns.pop("id"), columns.pop("status")
    values = {name: torch.tensor(column, dtype=torch.float64) for name, column in columns.items()}
    return Scores(tuple(ids), tuple(statuses), values)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
