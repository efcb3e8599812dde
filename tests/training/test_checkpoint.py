"""A run is kept so that nothing ends it: killed at a change of the disk, damaged, on a full disk; the same weights."""

import dataclasses
import errno
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from pain3d import files
from pain3d.console.refused import RefusedError
from pain3d.training.checkpoint import BEST, NAME, PREVIOUS, read_checkpoint
from pain3d.training.config import preset
from pain3d.training.loop import Learned, TrainingJob, learn
from tests.conftest import Ran
from tests.training.test_loop import OPTIONS

CONFIG = dataclasses.replace(
    preset("tiny", "vitpain"), steps=40, batch=4, validations=4, precision="fp32", lr=0.1, patience=0
)
CHANGES = ("open", "write", "fsync", "replace", "unlink", "mkdir", "rmdir", "truncate")


def run(folder: Path, run_hash: str = "one") -> Learned:
    """A line through points, validated four times: of these the second is the best."""
    points = torch.linspace(-1, 1, 8)[:, None]
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    asked = {10: 1.0, 20: 2.0, 30: 0.5, 40: 1.5}
    job = TrainingJob(
        model,
        lambda model, batch, ema: {"loss": (model(batch) - 3 * batch).square().mean()},
        load=lambda step: points,
        augment=lambda batch, step: steps.append(step) or batch,  # type: ignore[func-returns-value]
        config=CONFIG,
        validate=lambda ema: {"score": asked[steps[-1] + 1]},
        folder=folder,
        run_hash=run_hash,
        quiet=True,
    )
    steps: list[int] = []
    folder.mkdir(exist_ok=True)
    files.remove_partial(folder)  # as whoever opens a run's folder does
    return learn(job)


def weights(learned: Learned) -> list[torch.Tensor]:
    return [value.clone() for value in learned.model.state_dict().values()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, one, other))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[torch.Tensor]]:
    """The folder of a run that nothing happened to, and its weights. Not to be changed."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    return folder, weights(run(folder))


@pytest.fixture
def copy(alone: tuple[Path, list[torch.Tensor]], tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(alone[0], tmp_path / "run"))


class Killed(BaseException):
    """The process is dead."""


class Disk:
    """An `os` that changes the disk `left` times, and then is asked `fate` for each further change."""

    def __init__(self, left: float, fate: Callable[[], Exception | BaseException]) -> None:
        self.left, self.fate, self.asked = left, fate, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGES:
            return real

        def change(*arguments: Any, **named: Any) -> Any:
            self.asked += 1
            if self.asked > self.left:
                raise self.fate()
            return real(*arguments, **named)

        return change


def test_killed_at_changes_of_the_disk(
    alone: tuple[Path, list[torch.Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is cleaned up by who is killed. Some of the changes: all of them take a minute, and passed once."""
    disk = Disk(float("inf"), Killed)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", disk)
        run(tmp_path / "counted")
    assert disk.asked > 60
    for last in range(4, disk.asked, disk.asked // 7):
        folder = tmp_path / str(last)
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", Disk(last, Killed))
            with pytest.raises(Killed):
                run(folder)
        assert same(weights(run(folder)), alone[1])
        assert (folder / "log.jsonl").read_text() == (alone[0] / "log.jsonl").read_text()


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": flipped,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "header": lambda path: path.write_bytes(path.read_bytes().replace(b"ema/", b"emu/")),
    "progress": lambda path: path.write_bytes(path.read_bytes().replace(b'\\"step\\": 40', b'\\"step\\": 30')),
    "foreign": lambda path: path.write_bytes(b"\xff" * 1000),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_leaves_the_one_before(
    alone: tuple[Path, list[torch.Tensor]], copy: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    before, _ = read_checkpoint(copy / NAME)
    DAMAGE[how](copy / NAME)
    assert same(weights(run(copy)), alone[1])
    said = capsys.readouterr().err
    assert said.startswith(f"pain3d: {copy / NAME}: ") and said.endswith(f"going on from {PREVIOUS}, step 30\n")
    assert said.count("\n") == 1
    after, _ = read_checkpoint(copy / NAME)
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("how", DAMAGE)
def test_two_damaged_checkpoints_are_refused(copy: Path, how: str) -> None:
    flipped(copy / PREVIOUS)
    DAMAGE[how](copy / NAME)
    held = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    with pytest.raises(RefusedError, match=f"{PREVIOUS}: not a checkpoint of pain3d, or damaged") as refused:
        run(copy)
    assert str(copy / NAME) in str(refused.value) and "\n" not in str(refused.value)
    assert held == {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}


@pytest.mark.parametrize("how", [name for name in DAMAGE if name != "progress"])
def test_damaged_best_weights_are_refused_before_anything_is_learned(copy: Path, how: str) -> None:
    DAMAGE["cut" if how == "header" else how](copy / BEST)
    with pytest.raises(RefusedError, match=f"{BEST}: (missing|not a checkpoint of pain3d, or damaged)"):
        run(copy)


def test_files_of_another_run_are_refused(copy: Path) -> None:
    with pytest.raises(RefusedError, match=f"{NAME}: of another run"):
        run(copy, "two")
    other = copy.with_name("other")
    run(other, "two")
    (copy / BEST).write_bytes((other / BEST).read_bytes())
    with pytest.raises(RefusedError, match=f"{BEST}: of another run"):
        run(copy)


@pytest.mark.parametrize(("number", "last"), [(errno.ENOSPC, 3), (errno.EIO, 9), (errno.ENOSPC, 16), (errno.EIO, 23)])
def test_a_disk_that_fails_is_named_and_ends_nothing(
    alone: tuple[Path, list[torch.Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, last: int
) -> None:
    """From then on every write and every flush fails; what is removed is removed."""
    folder = tmp_path / "run"
    done = 0

    def failing(real: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done > last:
            raise OSError(number, os.strerror(number))
        return real(*arguments)

    for name in ("write", "fsync"):
        monkeypatch.setattr(files.os, name, partial(failing, getattr(os, name)))
    with pytest.raises(OSError) as failed:
        run(folder)
    monkeypatch.undo()
    assert failed.value.errno == number and str(folder) in str(failed.value.filename)
    assert same(weights(run(folder)), alone[1])


def test_a_full_disk_takes_one_line(
    pain3d: Callable[..., Ran], faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the model is written, last of all: the checkpoint stays, and no half of a model."""
    write = os.write

    def full(descriptor: int, content: Any) -> int:
        if "model.safetensors" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", full)
    options = [*OPTIONS, "--steps", "2", "--validations", "0", "--no-evaluate"]
    ran = pain3d("train", tmp_path / "run", "--data", faces, *options)
    said = ran.err.splitlines()[-1]  # after the line of progress
    assert ran.code == 2 and "Traceback" not in ran.err and said.startswith(f"pain3d: {tmp_path / 'run'}/")
    assert said.endswith("model.safetensors.partial: No space left on device")
    assert not list((tmp_path / "run").glob(".*")) and not (tmp_path / "run" / "model").exists()
    assert read_checkpoint(tmp_path / "run" / NAME)[1]["step"] == 2
