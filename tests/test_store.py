"""The store: what is committed is there, whole, once; resuming is asked minus stored."""

import errno
import hashlib
import multiprocessing
import os
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rather.config.errors import RatherError
from rather.io.writing import check_writable, write_whole
from rather.runs.store import SCHEMA, Row, Run, record

ASKED = [f"image-{n}" for n in range(7)]


def row(n: int, **changes) -> Row:
    return Row(**{"id": ASKED[n], "where": f"folder/{n}.png", "status": "found"} | changes)


def start(folder, **question) -> Run:
    return Run.start(folder, {"seed": 0} | question, ASKED, 3)


texts = st.text(st.characters(blacklist_categories=["Cs"]))


@settings(deadline=None, max_examples=30)
@given(
    st.builds(
        Row,
        id=st.just(ASKED[0]),
        where=texts,
        status=st.sampled_from(["found", "not_found", "already", "failed"]),
        code=texts,
        message=texts,
        label=st.none() | texts,
        target=st.none() | texts,
        confidence=st.floats(0, 1),
        before=st.lists(st.floats(0, 1, width=32)),
        steps=st.integers(0, 2**40),
        query=st.none() | st.binary(min_size=1),
        artifacts=st.dictionaries(texts, st.lists(st.binary(), min_size=1), max_size=3),
        info=st.dictionaries(texts, st.recursive(st.none() | st.integers() | texts, st.lists), max_size=3),
    )
)
def test_a_row_comes_back_as_it_went(tmp_path_factory, told):
    run = start(tmp_path_factory.mktemp("run"))
    run.commit([told])
    assert list(run.rows()) == [told]


def test_pending_is_asked_minus_stored_chunk_by_chunk(tmp_path):
    run = start(tmp_path)
    assert run.pending() == [range(3), range(3, 6), range(6, 7)]
    run.commit([row(3), row(4), row(5)])
    assert Run.open(tmp_path).pending() == [range(3), range(6, 7)]
    run.commit([row(0), row(1), row(2, status="failed")])
    run.commit([row(6)])
    assert run.pending() == []
    assert [stored.id for stored in run.rows()] == ASKED
    assert run.counts() == {"found": 6, "not_found": 0, "already": 0, "failed": 1}


def test_a_row_that_two_workers_stored_counts_once(tmp_path):
    run = start(tmp_path)
    run.commit([row(0, seconds=1.0), row(1), row(2)])
    run.commit([row(0, seconds=2.0), row(1), row(2)])
    assert [stored.id for stored in run.rows()] == ASKED[:3]
    assert run.counts()["found"] == 3


def test_what_an_older_version_wrote_is_read(tmp_path):
    run = start(tmp_path)
    former = {"artifacts": "pictures", "info": "facts"}
    first = SCHEMA.remove(SCHEMA.get_field_index("memory")).names
    first = pa.schema([(former.get(name, name), SCHEMA.field(name).type) for name in first])
    told = [record(row(n, memory=7)) for n in range(3)]
    told[1]["status"] = "skipped"
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pylist([{former.get(key, key): value for key, value in one.items()} for one in told], first), sink
    )
    data = sink.getvalue().to_pybytes()
    name = f"rows-00000000-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
    (tmp_path / name).write_bytes(data)
    assert [*run.rows()] == [row(0), row(1, status="already"), row(2)]
    assert run.counts()["already"] == 1
    file = tmp_path / "run.json"
    text = file.read_text("utf-8").replace('"format": 4', '"format": 1')
    file.write_text(text.replace('"config":', '"question":').replace('"ids":', '"asked":'), "utf-8")
    assert Run.open(tmp_path).pending() == [range(3, 6), range(6, 7)]
    again = start(tmp_path)
    assert '"format": 4' in file.read_text("utf-8")  # for what comes now is not read by older ones
    again.commit([row(n, memory=7) for n in range(3, 6)])
    assert [one.memory for one in again.rows()] == [None] * 3 + [7] * 3


def test_another_question_is_refused_and_nothing_touched(tmp_path):
    start(tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(RatherError, match="another method, seed") as refused:
        start(tmp_path, seed=1, method="goyal")
    assert refused.value.exit_code == 6
    with pytest.raises(RatherError, match="another images"):
        Run.start(tmp_path, {"seed": 0}, ASKED[:2], 3)
    assert (tmp_path / "run.json").read_bytes() == before


def hold(folder, ready, go):
    with Run.open(folder).lock():
        ready.set()
        go.wait(20)


def test_a_run_is_held_by_one_process_and_freed_when_that_is_killed(tmp_path):
    run = start(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    ready, go = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(tmp_path, ready, go))
    other.start()
    assert ready.wait(20)
    with pytest.raises(RatherError, match="another process") as busy, run.lock():
        pass
    assert busy.value.exit_code == 6
    other.kill()
    other.join()
    with run.lock():
        pass


def test_a_full_disk_is_said_so_and_leaves_no_half_file(tmp_path, monkeypatch):
    run = start(tmp_path)

    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RatherError, match="the disk is full") as refused:
        run.commit([row(0), row(1), row(2)])
    assert refused.value.exit_code == 5
    assert {file.name for file in tmp_path.iterdir()} == {".lock", "run.json"}


def test_leftovers_of_a_killed_process_are_cleared_and_those_of_a_report_are_not(tmp_path):
    run = start(tmp_path)
    for name in ("rows-x.parquet.1.tmp", "run.json.1.tmp", "report.html.1.tmp"):
        (tmp_path / name).write_bytes(b"half")
    with run.lock():
        pass
    assert [file.name for file in tmp_path.glob("*.tmp")] == ["report.html.1.tmp"]


def test_of_two_questions_at_once_only_the_first_makes_the_run(tmp_path, monkeypatch):
    folder, lock = tmp_path / "run", Run.lock

    @contextmanager
    def late(self):
        monkeypatch.setattr(Run, "lock", lock)
        start(folder, seed=1)  # another command, between our look at the folder and our lock
        with lock(self):
            yield

    monkeypatch.setattr(Run, "lock", late)
    with pytest.raises(RatherError, match="another seed"):
        start(folder, seed=2)
    assert Run.open(folder).config == {"seed": 1}


def test_a_question_that_is_no_plain_data_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        start(tmp_path / "run", lr=float("nan"))
    with pytest.raises(TypeError):
        start(tmp_path / "run", lr=object())
    assert list(tmp_path.iterdir()) == []


def test_asking_whether_a_folder_can_be_written_leaves_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(RatherError) as refused:
        check_writable(tmp_path / "file" / "b")
    assert refused.value.code == "STORE-NOT-WRITABLE"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1', '{"format": 99}', "\xff"])
def test_a_damaged_description_is_one_clear_line(tmp_path, text):
    (tmp_path / "run.json").write_text(text, "latin-1")
    with pytest.raises(RatherError) as refused:
        Run.open(tmp_path)
    assert refused.value.code == "RUN-DAMAGED"
    assert "\n" not in str(refused.value)


def test_a_damaged_shard_is_named(tmp_path):
    run = start(tmp_path)
    run.commit([row(0), row(1), row(2)])
    (shard,) = tmp_path.glob("rows-*.parquet")
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(RatherError, match=shard.name):
        list(run.rows())


def test_every_flipped_byte_is_told_of(tmp_path):
    run = start(tmp_path)
    run.commit([row(0, query=b"a picture"), row(1), row(2)])
    (shard,) = tmp_path.glob("rows-*.parquet")
    whole = shard.read_bytes()
    for place in range(0, len(whole), 97):
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(RatherError, match="Remove this file and run the same command") as refused:
            list(run.rows())
        assert refused.value.code == "RUN-DAMAGED"
        assert refused.value.where == str(shard)
    shard.unlink()
    assert run.pending()[0] == range(3)


def forge(run: Run, table: pa.Table) -> None:
    """A shard whose name is right and whose content is not."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    data = sink.getvalue().to_pybytes()
    name = f"rows-00000000-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
    (run.folder / name).write_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        {"info": "{"},
        {"info": "[]"},
        {"info": None},
        {"status": "fine"},
        {"before": None},
        {"artifacts": None},
        {"artifacts": [None]},
        {"id": None},
    ],
    ids=str,
)
def test_a_row_of_another_kind_is_one_clear_line(tmp_path, change):
    run = start(tmp_path)
    forge(run, pa.Table.from_pylist([record(row(0)) | change], SCHEMA))
    with pytest.raises(RatherError, match="rows-00000000-") as refused:
        list(run.rows())
    assert refused.value.code == "RUN-DAMAGED"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns("info"),
        lambda table: table.append_column("more", [[1]]),
        lambda table: table.set_column(0, "id", [[7]]),
    ],
)
def test_columns_of_another_kind_are_one_clear_line(tmp_path, change):
    run = start(tmp_path)
    forge(run, change(pa.Table.from_pylist([record(row(0))], SCHEMA)))
    with pytest.raises(RatherError, match="its columns are not those of a run"):
        list(run.rows())


def test_a_missing_column_is_no_traceback_where_only_counts_are_asked(tmp_path):
    run = start(tmp_path)
    forge(run, pa.table({"id": ["image-0"]}))
    with pytest.raises(RatherError, match="rows-00000000-"):
        run.counts()


def test_no_run_there(tmp_path):
    with pytest.raises(RatherError) as refused:
        Run.open(tmp_path / "nothing")
    assert refused.value.code == "RUN-NOT-FOUND"


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RatherError) as refused:
        start(tmp_path / "file" / "run")
    assert refused.value.code == "STORE-NOT-WRITABLE"


def test_shards_show_as_pictures_to_hugging_face(tmp_path):
    run = start(tmp_path)
    run.commit([row(0), row(1), row(2)])
    (shard,) = tmp_path.glob("rows-*.parquet")
    assert b'"image": {"_type": "Image"}' in pq.read_schema(shard).metadata[b"huggingface"]


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    file = tmp_path / "file"
    write_whole(file, b"old")

    def fail(self, target):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="input/output"):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["file"]
