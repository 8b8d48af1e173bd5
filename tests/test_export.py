"""What other programs get of a run: every row once, pixels untouched, no text that runs as a formula."""

import csv
import json
import re

import pyarrow.parquet as pq
import pytest
import torch

from rather.config.errors import RatherError
from rather.io.png import png
from rather.runs.export import export_parquet, export_png, file_name
from rather.runs.store import Row, Run


def rows_of(count: int) -> list[Row]:
    torch.manual_seed(0)
    found = [
        Row(
            id=f"x-{n:03d}",
            where=f"photos/{n}.png",
            status="found",
            predicted="a",
            target="b",
            before=[0.75, 0.25],
            after=[0.125, 0.875],
            query=png(torch.rand(3, 4, 4)),
            image=png(torch.rand(3, 4, 4)),
        )
        for n in range(count)
    ]
    return [*found, Row(id="bad", where="photos/bad.png", status="failed", code="IMG-TRUNCATED")]


def run_of(folder, rows: list[Row]) -> Run:
    run = Run.start(folder, {"classes": ["a", "b"]}, [row.id for row in rows], len(rows))
    run.commit(rows)
    return run


def table(folder) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as source:
        return list(csv.DictReader(source))


def test_png_files_are_the_stored_bytes_one_a_row_that_has_one(tmp_path):
    rows = rows_of(3)
    assert export_png(run_of(tmp_path / "run", rows), tmp_path / "a" / "out") == 3
    out = tmp_path / "a" / "out"
    assert {file.name for file in out.iterdir()} == {"x-000.png", "x-001.png", "x-002.png", "index.csv"}
    assert all((out / f"{row.id}.png").read_bytes() == row.image for row in rows[:3])


def test_the_table_has_every_row(tmp_path):
    export_png(run_of(tmp_path / "run", rows_of(2)), tmp_path / "out")
    first, _, last = table(tmp_path / "out")
    assert first["id"] == "x-000"
    assert first["file"] == "x-000.png"
    assert [first[key] for key in ("predicted", "target", "status")] == ["a", "b", "found"]
    assert first["before"] == "0.75 0.25"
    assert first["after"] == "0.125 0.875"
    assert last["file"] == last["after"] == ""
    assert last["code"] == "IMG-TRUNCATED"


@pytest.mark.parametrize("start", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_is_a_formula(tmp_path, start):
    row = Row(id="-x", where=start, status="already", code=start, label=start, predicted=start, target=f"{start},")
    export_png(run_of(tmp_path / "run", [row]), tmp_path / "out")
    (told,) = table(tmp_path / "out")
    assert told["where"] == told["label"] == told["predicted"] == f"'{start}"
    assert not any(value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for value in told.values())


def test_a_hostile_id_stays_in_the_folder(tmp_path):
    row = Row(id="../../x", where="", status="found", image=png(torch.rand(1, 2, 2)))
    export_png(run_of(tmp_path / "run", [row]), tmp_path / "a" / "out")
    (told,) = table(tmp_path / "a" / "out")
    assert (tmp_path / "a" / "out" / told["file"]).read_bytes() == row.image
    assert {file.name for file in tmp_path.iterdir()} == {"run", "a"}


def test_names_of_files_are_safe_short_and_different():
    names = [file_name(text) for text in ("a/b", "a:b", "a" * 300, "a" * 299, "", "é", "\udcff", ".", "-")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_][a-z0-9_-]{,120}", name) for name in names)


@pytest.mark.parametrize("export", [export_png, lambda run, place: export_parquet(run, place / "x.parquet")])
def test_an_unwritable_place_is_a_clear_error(tmp_path, export):
    (tmp_path / "file").write_text("")
    with pytest.raises(RatherError) as told:
        export(run_of(tmp_path / "run", rows_of(1)), tmp_path / "file" / "out")
    assert told.value.code == "STORE-NOT-WRITABLE"


def test_a_folder_is_no_parquet_file(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", rows_of(1))
    monkeypatch.chdir(tmp_path)
    for place in (".", "..", tmp_path / "run"):
        with pytest.raises(RatherError, match="Name a file") as told:
            export_parquet(run, place)
        assert told.value.code == "STORE-NOT-WRITABLE"
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("export", [export_png, lambda run, place: export_parquet(run, place / "x.parquet")])
def test_a_damaged_run_is_not_handed_on(tmp_path, export):
    run = run_of(tmp_path / "run", rows_of(1))
    (shard,) = run.folder.glob("rows-*.parquet")
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(RatherError, match=shard.name) as told:
        export(run, tmp_path / "out")
    assert told.value.code == "RUN-DAMAGED"


def test_one_parquet_file_holds_what_the_shards_hold(tmp_path):
    rows = rows_of(70)
    run = Run.start(tmp_path / "run", {}, [row.id for row in rows], 10)
    for chunk in run.pending():
        run.commit([rows[n] for n in chunk])
    assert export_parquet(run, tmp_path / "out" / "all.parquet") == 71
    read = pq.read_table(tmp_path / "out" / "all.parquet")
    assert read["id"].to_pylist() == [row.id for row in rows]
    assert read["image"].to_pylist()[5]["bytes"] == rows[5].image
    features = json.loads(read.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"]["_type"] == "Image"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["all.parquet"]
