"""A run that goes on: what is published is believed as far as its hash proves it, and no further."""

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pain3d.pipeline import run
from pain3d.pipeline.plan import make_plan
from pain3d.pipeline.shard_list import find_faults, read_lines
from pain3d.records import SUBSETS
from tests.conftest import SMALL_OPTIONS, Ran
from tests.pipeline.conftest import SMALL, hashes

Run = Callable[..., Ran]
LINES, MANIFEST = "manifest.partial.jsonl", "manifest.json"
TRAIN, VALIDATION = (f"data/frames/{split}-00000-of-00001.parquet" for split in ("train", "validation"))
REPAIR = "nothing was changed, --repair keeps what its hash proves and makes the rest again"


def said(err: str) -> list[str]:
    """Lines on stderr but those of progress."""
    return [line for line in err.splitlines() if not line.endswith("s left")]


def test_a_stopped_run_goes_on_to_the_same_bytes(small: Path, stopped: Path, tmp_path: Path) -> None:
    """As after SIGKILL: published shards, a torn manifest line, partial files, shards renamed without their line."""
    out = Path(shutil.copytree(stopped, tmp_path / "small"))
    lines = out / "manifest.partial.jsonl"
    published = lines.read_bytes()
    lines.write_bytes(published + published[:50])  # torn
    (out / "data" / "frames" / ".test-00000-of-00001.parquet.partial").write_bytes(b"half")
    shutil.copy(out / "data" / "frames" / "train-00000-of-00001.parquet", out / "data" / "frames" / "x.parquet")
    (out / "data" / "frames" / "x.parquet").rename(out / "data" / "frames" / "test-00000-of-00001.parquet")
    run.synthesise(SMALL, out, quiet=True)
    assert hashes(out) == hashes(small)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    "damage",
    [
        lambda line: b"",
        lambda line: b"\0" * len(line),
        lambda line: b"\xff" + line[1:],
        lambda line: line[: len(line) // 2],
        lambda line: line[:-1],
        lambda line: line.replace(b'"shard"', b'"shart"'),
        lambda line: line.replace(b"data/frames", b"data/frame"),
        lambda line: line.replace(b'"sha256": "', b'"sha256": "g'),
        lambda line: line.replace(b'"rows": ', b'"rows": -.5e'),
        lambda line: b'{"shard": "train-00000-of-00001", "files": []}',
        lambda line: b"[1, 2]",
        lambda line: b"null",
        lambda line: b"[" * 4_000,
        lambda line: b"[" * 100_000,
        lambda line: line.replace(b'"rows": 8', b'"rows": 6').replace(b'"rows": 16', b'"rows": 6'),
        lambda line: line.replace(b'"rows"', b'"more": 1, "rows"'),
        lambda line: line.replace(b"-00000-of-00001", b"-00000-of-00002"),
        lambda line: line.replace(b'"bytes": ', b'"bytes": ' + b"9" * 5_000),
        lambda line: line.replace(b"}]}", b"}]} "),
        lambda line: line + b"\n" + line,
    ],
)
def test_a_damaged_line_is_refused_and_nothing_is_touched(
    pain3d: Run, stopped: Path, tmp_path: Path, damage: Callable[[bytes], bytes], number: int
) -> None:
    out = Path(shutil.copytree(stopped, tmp_path / "small"))
    lines = out / "manifest.partial.jsonl"
    held = lines.read_bytes().split(b"\n")
    held[number - 1] = damage(held[number - 1])
    twice = held[number - 1].count(b"\n")
    lines.write_bytes(b"\n".join(held))
    (out / "data" / "frames" / ".test-00000-of-00001.parquet.partial").write_bytes(b"half")
    before = hashes(out)
    line = f"{lines}: line {number + twice} is damaged, it names no published shard; {REPAIR}"
    for more in ((), ("--dry-run",)):
        ran = pain3d("synth", out, *SMALL_OPTIONS, *more)
        assert (ran.code, ran.out, ran.err) == (2, "", f"pain3d: {line}\n")
    assert hashes(out) == before


def test_repair_keeps_what_its_hash_proves(pain3d: Run, small: Path, stopped: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(stopped, tmp_path / "small"))
    lines = out / LINES
    first, second = lines.read_bytes().splitlines(keepends=True)
    lines.write_bytes(first + b"garbage\n" + b"{}\n" * 20 + second.replace(b'"rows"', b'"cows"'))
    kept = (out / TRAIN).stat().st_mtime_ns
    assert pain3d("synth", out, *SMALL_OPTIONS, "--repair", "--dry-run").code == 0 and b"garbage" in lines.read_bytes()
    ran = pain3d("synth", out, *SMALL_OPTIONS, "--repair")
    told = said(ran.err)
    assert (ran.code, told[0]) == (0, f"pain3d: {lines}: line 2 is damaged; dropped")
    assert (len(told), told[-1]) == (11, "pain3d: and 12 more")
    assert hashes(out) == hashes(small) and (out / TRAIN).stat().st_mtime_ns == kept


def test_a_list_of_nothing_but_damage_is_read_in_seconds(stopped: Path, tmp_path: Path) -> None:
    """100 MB of empty lines took minutes; what stands behind ten thousand damaged lines is made again."""
    out = Path(shutil.copytree(stopped, tmp_path / "small"))
    held = (out / LINES).read_bytes().splitlines(keepends=True)
    (out / LINES).write_bytes(held[0] + b"\n" * 20_000_000 + held[1])
    found = list(read_lines(out / LINES, make_plan(SMALL)))
    assert [entry and entry["shard"] for entry, _ in found] == ["train-00000-of-00001", *[None] * 10_001]
    assert found[-1][1] == (out / LINES).stat().st_size


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    (path / "deep").mkdir(parents=True)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_a_published_file_that_is_not_as_it_was_is_made_again(
    pain3d: Run, small: Path, stopped: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(stopped, tmp_path / "small"))
    frames, pairs, expressions, identities = (out / VALIDATION.replace("frames", subset) for subset in SUBSETS)
    frames.unlink()
    flip(pairs)
    size = expressions.stat().st_size
    expressions.write_bytes(b"half")
    make_folder(identities)
    kept = (out / TRAIN).stat().st_mtime_ns
    ran = pain3d("synth", out, *SMALL_OPTIONS)
    assert (ran.code, said(ran.err)) == (
        0,
        [
            f"pain3d: {frames}: missing; made again",
            f"pain3d: {pairs}: another SHA-256 than published; made again",
            f"pain3d: {expressions}: 4 bytes instead of {size}; made again",
            f"pain3d: {identities}: not a file; made again",
        ],
    )
    assert hashes(out) == hashes(small) and (out / TRAIN).stat().st_mtime_ns == kept


def test_a_pipe_in_place_of_a_file_is_not_waited_for(stopped: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(stopped, tmp_path / "small"))
    make_pipe(out / VALIDATION)
    entries = [entry for entry, _ in read_lines(out / LINES, make_plan(SMALL)) if entry]
    faults = find_faults(out, entries, 2, quiet=True)
    assert faults == {"validation-00000-of-00001": [f"{out / VALIDATION}: not a file"]}


def test_a_list_that_is_damaged_during_the_run_deletes_nothing(
    pain3d: Run, small: Path, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a line more nor a line less ends as a data set that lacks a shard."""
    original = run.publish_all
    for damaged in (b"garbage\n", b""):
        out = Path(shutil.copytree(stopped, tmp_path / str(len(damaged))))
        lines = out / LINES

        def damage(*arguments: object, lines: Path = lines, damaged: bytes = damaged) -> int:
            made = original(*arguments)  # type: ignore[arg-type]
            lines.write_bytes(damaged)
            return made

        monkeypatch.setattr(run, "publish_all", damage)
        ran = pain3d("synth", out, *SMALL_OPTIONS)
        monkeypatch.setattr(run, "publish_all", original)
        if damaged:
            assert (ran.code, said(ran.err)) == (
                2,
                [f"pain3d: {lines}: line 1 is damaged, it names no published shard; {REPAIR}"],
            )
            assert (lines.read_bytes(), not (out / MANIFEST).exists()) == (damaged, True)
            assert len(hashes(out, "*.parquet")) == 12
            assert pain3d("synth", out, *SMALL_OPTIONS, "--repair").code == 0
        assert hashes(out) == hashes(small)


def test_a_run_killed_before_its_last_step_is_finished(pain3d: Run, small: Path, stopped: Path, tmp_path: Path) -> None:
    """Between the manifest and the end of the list; a loop until 0 ends."""
    out = Path(shutil.copytree(small, tmp_path / "small"))
    shutil.copy(stopped / LINES, out / LINES)
    (out / ".manifest.json.partial").write_bytes(b"{")
    ran = pain3d("synth", out, *SMALL_OPTIONS)
    assert (ran.code, ran.err, ran.out.splitlines()[0]) == (0, "", "finished already, 32 images")
    assert hashes(out) == hashes(small)


@pytest.mark.parametrize("what", ["shard gone", "half", "no shard", "{}", "[" * 20_000, "another plan's"])
def test_a_finished_data_set_that_lacks_something_is_not_called_finished(
    pain3d: Run, small: Path, tmp_path: Path, what: str
) -> None:
    out = Path(shutil.copytree(small, tmp_path / "small"))
    manifest, frames = out / MANIFEST, out / VALIDATION
    whole = json.loads(manifest.read_bytes())
    culprit, why = manifest, "damaged"
    if what == "shard gone":
        frames.unlink()
        culprit, why = frames, "missing"
    elif what == "half":
        frames.write_bytes(b"half")
        culprit, why = frames, f"4 bytes instead of {(small / VALIDATION).stat().st_size}"
    elif what == "no shard":
        manifest.write_text(json.dumps({**whole, "shards": whole["shards"][1:]}))
    elif what == "another plan's":
        manifest.write_text(json.dumps(whole).replace("validation-00000-of-00001", "validation-00000-of-00002"))
    else:
        manifest.write_text(what)
    before = hashes(out)
    ran = pain3d("synth", out, *SMALL_OPTIONS)
    assert (ran.code, ran.err) == (2, f"pain3d: {culprit}: {why}; {REPAIR}\n")
    assert hashes(out) == before
    if what in ("half", "{}"):
        assert pain3d("synth", out, *SMALL_OPTIONS, "--repair").code == 0
        assert hashes(out) == hashes(small)


PLANTED = ("LICENSES", "data", "textures", "report", "data/frames", "manifest.partial.jsonl", "config.resolved.yaml")


@pytest.mark.parametrize("name", PLANTED)
def test_nothing_is_written_through_a_planted_link(pain3d: Run, stopped: Path, tmp_path: Path, name: str) -> None:
    out, elsewhere = Path(shutil.copytree(stopped, tmp_path / "small")), tmp_path / "elsewhere"
    if (out / name).exists():
        (out / name).rename(elsewhere)
    else:
        elsewhere.mkdir()
    (out / name).symlink_to(elsewhere)
    before = hashes(tmp_path)
    ran = pain3d("synth", out, *SMALL_OPTIONS)
    line = f"pain3d: {out / name}: a link, and nothing is written through one\n"
    assert (ran.code, ran.out, ran.err) == (2, "", line)
    assert hashes(tmp_path) == before


def test_partial_links_go_and_what_they_point_at_stays(pain3d: Run, small: Path, stopped: Path, tmp_path: Path) -> None:
    out, elsewhere = Path(shutil.copytree(stopped, tmp_path / "small")), tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    for name in ("a", ".b.partial", "deep/.c.partial"):
        (elsewhere / name).write_bytes(b"mine")
    (out / ".README.md.partial").symlink_to(elsewhere / "a")
    (out / "data" / ".frames.partial").symlink_to(elsewhere)
    (out / "data" / "frames" / ".test-00000-of-00001.parquet.partial").symlink_to(elsewhere / "a")
    before, named = hashes(elsewhere), tmp_path / "named"
    named.symlink_to(out)  # the folder itself may be one: the user named it
    assert pain3d("synth", named, *SMALL_OPTIONS).code == 0
    assert named.is_symlink() and (hashes(out), hashes(elsewhere)) == (hashes(small), before)


def test_a_clock_that_was_set_back_changes_nothing(
    small: Path, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies there is of tomorrow, and the clock of the wall goes backwards."""
    out = Path(shutil.copytree(stopped, tmp_path / "small"))
    tomorrow = time.time() + 86_400
    for path in out.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    backwards = itertools.count()
    monkeypatch.setattr(time, "time", lambda: tomorrow - 3_600 - next(backwards))
    assert run.synthesise(SMALL, out, quiet=True).new > 0
    assert hashes(out) == hashes(small)


def test_a_folder_of_any_name_holds_the_same_bytes(pain3d: Run, small: Path, tmp_path: Path) -> None:
    """A name that is no UTF-8 too; `small` is made under another."""
    out = tmp_path / os.fsdecode(b"\xff<b>\n")
    ran = pain3d("synth", out, *SMALL_OPTIONS, "--json")
    assert (ran.code, said(ran.err), json.loads(ran.out)["out"]) == (0, [], str(out))
    assert hashes(out) == hashes(small)
