"""The walk through the commands names what fails or hangs, leaves out what needs it, and goes on."""

import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import commands
from benchmarks.commands import WALK, Command, line, same_sets, walk

ONE = ("--identities", "1", "--expressions", "1", "--views", "1", "--size", "32", "--seed", "5")


def test_each_command_stands_behind_those_that_it_needs() -> None:
    names = [command.name for command in WALK]
    assert len(set(names)) == len(names)
    for number, command in enumerate(WALK):
        assert set(command.after) <= set(names[:number]), command.name
        assert bool(command.words) != bool(command.check)
    said = [" ".join(command.words) for command in WALK]
    for wanted in ("synth", "verify", "evaluate", "score", "export", "--online", "--task distill", "--device {device}"):
        assert any(wanted in words for words in said), wanted


@pytest.mark.slow
def test_the_walk_goes_on(tmp_path: Path) -> None:
    def wrong(work: Path) -> str:
        raise ValueError("another label")

    some = (
        Command("synth on the CPU", ("synth", "{work}/cpu", *ONE, "--device", "{device}")),
        Command("refused", ("synth", "{work}/no", "--size", "0")),
        Command("needs it", ("verify", "{work}/no"), ("refused",)),
        Command("hangs", ("synth", "{work}/long", "--identities", "1000"), limit=6),
        Command("looks", after=("synth on the CPU",), check=lambda work: f"{len(list(work.glob('cpu/*')))} files"),
        Command("sees", check=wrong),
        Command("score", ("score", "{work}/*.nothing", "--model", "{work}")),
    )
    work = tmp_path / "work"
    done = {walked.name: walked for walked in walk(work, "cpu", some, jobs=2)}
    assert list(done) == [command.name for command in some]
    assert {name: walked.outcome for name, walked in done.items()} == {
        "synth on the CPU": "passed", "refused": "failed", "needs it": "skipped", "hangs": "failed",
        "looks": "passed", "sees": "failed", "score": "failed",
    }, done  # fmt: skip
    assert done["refused"].said.startswith("exit code 2: ") and "size" in done["refused"].said
    assert done["needs it"].said == "needs refused"
    assert done["hangs"].said == "was stopped after 6 s"
    assert done["sees"].said == "another label"
    assert line(done["sees"]).startswith("failed ") and line(done["sees"]).endswith("sees              another label")
    assert (work / "refused.log").is_file()
    _labels_are_compared(work)


def _labels_are_compared(work: Path) -> None:
    shutil.copytree(work / "cpu", work / "data")
    assert "labels equal, measures within 0e+00, pictures within 0.00 levels" in same_sets(work)
    path = next(path for path in (work / "data" / "data").rglob("*.parquet") if path.parent.name == "frames")
    table = pq.read_table(path)
    for name, value, said in (
        ("yaw_degrees", pa.array([1.0] * len(table), pa.float32()), "frames: yaw_degrees is another label"),
        ("coverage", pa.array([1.0] * len(table), pa.float32()), "measures within "),
    ):
        pq.write_table(table.set_column(table.schema.names.index(name), name, value), path)
        with pytest.raises(ValueError, match=said):
            same_sets(work)
    pq.write_table(table, path)
    assert same_sets(work)


def test_a_walk_has_an_end(tmp_path: Path) -> None:
    slow = (Command("first", check=lambda work: str(time.sleep(0.2))), Command("late", check=lambda work: "done"))
    done = list(walk(tmp_path / "work", "cpu", slow, jobs=1, within=0.1))
    assert [(walked.outcome, walked.said) for walked in done] == [("passed", "None"), ("skipped", "the time is over")]


def test_without_a_library_nothing_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "NEEDS", ("pain3d_is_no_library",))
    done = list(walk(tmp_path / "work", "cpu"))
    assert len(done) == len(WALK) and not (tmp_path / "work").exists()
    assert {(walked.outcome, walked.said) for walked in done} == {("skipped", "pain3d_is_no_library is missing")}
