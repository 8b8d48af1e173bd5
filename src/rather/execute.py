"""Working a run off: chunk by chunk, every image with an outcome, no image able to harm another's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from rather import __version__
from rather.core import Classifier, Counterfactuals, Method, Noise, rows_of
from rather.curves import diagnose
from rather.data.source import Source
from rather.draw import png, unpng
from rather.errors import REASONS, RatherError
from rather.references import References
from rather.store import Row, Run
from rather.targets import choose_goal


@final
@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run needs to be worked off, all of it in memory or readable."""

    source: Source
    indices: Sequence[int]  # of the pictures in the source, in the order of the run's `asked`
    classifier: Classifier
    method: Method
    references: References | None
    target: str  # a class, or one of `targets.RULES`
    confidence: float
    seed: int


def execute(run: Run, work: Work) -> Iterator[int]:
    """Answer and commit all that is not stored yet; after each commit, how many rows it made safe."""
    with run.lock():
        for chunk in run.pending():
            run.commit(answer(work, chunk))
            yield len(chunk)


def answer(work: Work, chunk: Sequence[int]) -> list[Row]:
    """The rows of some of the asked images, found by one call of the method where nothing goes wrong."""
    began = time.monotonic()
    rows: dict[int, Row] = {}
    images: dict[int, Tensor] = {}
    for place in chunk:
        index = work.indices[place]
        label = work.source.label(index)
        rows[place] = Row(
            id=work.source.id(index),
            where=work.source.where(index),
            status="failed",
            label=None if label is None else work.source.classes[label],
        )
        try:
            images[place] = work.source.read(index)
        except RatherError as error:
            rows[place] = replace(rows[place], code=error.code, message=str(error))
    if images:
        rows |= _explained(work, {place: rows[place] for place in images}, torch.stack([*images.values()]))
    share = (time.monotonic() - began) / len(rows)
    return [replace(row, seconds=share) for row in rows.values()]


def _explained(work: Work, rows: dict[int, Row], x: Tensor) -> dict[int, Row]:
    try:
        return _explain(work, rows, x)
    except RatherError as error:
        if error.code == "MODEL-GRADIENT":  # no row can have an answer
            raise
        if len(rows) == 1:
            ((place, row),) = rows.items()
            return {
                place: replace(row, query=png(x[0]), status="failed", code=error.code, message=str(error))
            }
    # One of them is at fault: each is asked alone, so that the others get their answer.
    result: dict[int, Row] = {}
    for n, (place, row) in enumerate(rows.items()):
        result |= _explained(work, {place: row}, x[n : n + 1])
    return result


def _explain(work: Work, rows: dict[int, Row], x: Tensor) -> dict[int, Row]:
    classifier, ids = work.classifier, [row.id for row in rows.values()]
    before = classifier.probabilities(x)
    if not before.isfinite().all():
        raise RatherError("MODEL-NONFINITE", where=rows[next(iter(rows))].where)
    drawn = Noise(work.seed, [f"target of {row}" for row in ids])
    goal = choose_goal(
        work.target, classifier, x, before, drawn, references=work.references, confidence=work.confidence
    )
    there = goal.reached(before.log())
    said = [classifier.classes[k] for k in before.argmax(1).tolist()]
    wanted = [classifier.classes[k] for k in goal.target.tolist()]
    result = {
        place: replace(
            row,
            status="skipped",
            code="ALREADY-TARGET",
            message=REASONS["ALREADY-TARGET"],
            predicted=said[n],
            target=wanted[n],
            confidence=float(goal.confidence[n]),
            before=before[n].tolist(),
            query=png(x[n]),
        )
        for n, (place, row) in enumerate(rows.items())
    }
    (open_rows,) = (~there).nonzero(as_tuple=True)
    if len(open_rows):
        places = [list(rows)[n] for n in open_rows.tolist()]
        answers = work.method(
            classifier,
            x[open_rows],
            goal[open_rows],
            seed=work.seed,
            ids=[ids[n] for n in open_rows.tolist()],
        )
        for n, row in enumerate(_judged(work, answers, [result[place] for place in places])):
            result[places[n]] = row
    return result


def _judged(work: Work, answers: Counterfactuals, rows: Sequence[Row]) -> list[Row]:
    """Success is what the classifier says of the PNG, read back."""
    files = [png(image) for image in answers.images]
    after = work.classifier.probabilities(torch.stack([unpng(file) for file in files]))
    reached = answers.goal.reached(after.log()) & answers.found
    result = []
    for n, (row, told) in enumerate(zip(rows, diagnose(work.method, work.classifier, answers), strict=True)):
        why = answers.why[n] or ("" if reached[n] else "LOST-IN-SAVING")
        result.append(
            replace(
                row,
                status="found" if reached[n] else "failed" if why == "NONFINITE" else "not_found",
                code=why,
                message=REASONS.get(why, ""),
                after=after[n].tolist(),
                steps=int(answers.steps[n]),
                evaluations=int(answers.evaluations[n]),
                image=files[n],
                pictures={
                    name: [png(p) for p in (picture if picture.ndim == 4 else picture[None])]  # noqa: PLR2004 - a series
                    for name, picture in rows_of(answers.pictures, n)
                }
                | ({} if told.trajectory is None else {"trajectory": [png(told.trajectory)]}),
                facts=dict(rows_of(answers.facts, n)) | ({"curves": told.curves} if told.curves else {}),
            )
        )
    return result


def question(work: Work, data: str) -> dict[str, Any]:
    """All that can change a result, as plain data: what makes two runs the same run."""
    return {
        "rather": __version__,
        "torch": torch.__version__,
        "data": data,
        "classifier": {"name": work.classifier.name, "sha256": work.classifier.fingerprint()},
        "classes": list(work.classifier.classes),
        "method": work.method.settings(),
        "references": work.references
        and {
            "name": work.references.name,
            "sha256": work.references.sha256,
            "count": len(work.references.ids),
        },
        "target": work.target,
        "confidence": work.confidence,
        "seed": work.seed,
    }
