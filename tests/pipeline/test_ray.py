"""A Ray cluster of two nodes on this machine makes the bytes of one process, whoever of it is lost on the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pain3d.console.refused import RefusedError
from pain3d.pipeline import ray_cluster
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.folder import LINES
from pain3d.pipeline.plan import make_plan
from pain3d.pipeline.ray_cluster import ShardOrder, make_shard, versions_here
from pain3d.pipeline.rows import Provenance
from pain3d.pipeline.run import preview, synthesise
from pain3d.pipeline.verification import verify
from tests.conftest import SMALL_OPTIONS
from tests.pipeline.conftest import SMALL, hashes

pytestmark = pytest.mark.slow
TWELVE = replace(SMALL, identities=12, identities_per_shard=1)
PATIENCE = 300.0  # seconds


class Nodes:
    """A cluster whose head makes nothing, and nodes of one core that come and go."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.nodes: list[Any] = []

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=1))

    def lose(self) -> None:
        """As a spot node goes: at once, with all that runs there."""
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    nodes = Nodes()
    try:
        nodes.add()
        nodes.add()
        yield nodes
    finally:
        nodes.cluster.shutdown()


def on(nodes: Nodes, config: SynthConfig) -> SynthConfig:
    return replace(config, engine="ray", address=nodes.address)


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of TWELVE."""
    out = tmp_path_factory.mktemp("one") / "small"
    synthesise(TWELVE, out, quiet=True)
    return out


def published(out: Path) -> int:
    lines = out / LINES
    return lines.read_bytes().count(b"\n") if lines.exists() else 0


def wait_for(out: Path, shards: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while published(out) < shards:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers() -> list[int]:
    """Processes that make a shard of Ray's."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and (process / "cmdline").read_bytes().startswith(b"ray::make_shard"):
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


def test_two_nodes_make_the_bytes_of_one_process(nodes: Nodes, small: Path, tmp_path: Path) -> None:
    receipt = synthesise(on(nodes, SMALL), tmp_path / "small", quiet=True)
    assert (receipt.new, receipt.images) == (32, 32)
    assert hashes(tmp_path / "small") == hashes(small)
    assert synthesise(on(nodes, SMALL), tmp_path / "small", quiet=True).finished


def test_nodes_and_workers_that_are_lost_change_nothing(nodes: Nodes, twelve: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    with ThreadPoolExecutor(1) as pool:  # nodes come and go by the main thread alone
        receipt = pool.submit(synthesise, on(nodes, TWELVE), out, quiet=True)
        wait_for(out, 2)
        killed = workers()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_for(out, 5)
        nodes.lose()
        nodes.add()
        assert receipt.result().new == 12 * 8
    assert killed
    assert hashes(out) == hashes(twelve)  # of all that lies there: nothing of a lost attempt
    assert not verify(out).findings


def test_a_run_that_was_stopped_is_gone_on_with_here(twelve: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches all of a Ray that was started for the run, too."""
    out = tmp_path / "small"
    options = ("--identities", "12", "--identities-per-shard", "1", "--engine", "ray")
    running = subprocess.Popen(
        [sys.executable, "-m", "pain3d", "synth", out, *SMALL_OPTIONS, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(out, 2)
    os.killpg(running.pid, signal.SIGINT)
    _, complained = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130
    assert complained.splitlines()[-1].startswith("pain3d: interrupted; published shards are kept")
    assert "Traceback" not in complained
    assert not list(out.rglob(".*.partial"))
    before = published(out)
    assert 2 <= before < 12
    assert synthesise(TWELVE, out, quiet=True).new == 8 * (12 - before)
    assert hashes(out) == hashes(twelve)


def order(out: Path, **changed: Any) -> ShardOrder:
    plan = make_plan(SMALL)
    told = ShardOrder(SMALL, "cpu", plan.shards[0], Provenance(7, "0" * 64, "0", "0"), out, 0, versions_here())
    return replace(told, **changed)


def test_a_node_of_other_code_stops_the_run(nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "versions_here", lambda: versions_here() | {"numpy": "1.0"})
    with pytest.raises(RefusedError, match=r"numpy is .*, where the run was begun 1.0: all nodes need the same"):
        synthesise(on(nodes, SMALL), tmp_path / "small", quiet=True)
    assert not (tmp_path / "small").exists()


def test_a_node_that_does_not_see_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=f"doesn't see the data set in {tmp_path}: all nodes must share that folder"):
        make_shard(order(tmp_path))
    assert not list(tmp_path.iterdir())


def test_who_is_lost_time_after_time_ends_the_run(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "LOST", 1)
    monkeypatch.setattr(ray_cluster, "make_shard", lambda order: os._exit(1))
    with pytest.raises(RefusedError, match=r"-00000-of-00001: whoever made it was lost 2 times .*; published shards"):
        synthesise(on(nodes, SMALL), tmp_path / "small", quiet=True)


def test_an_address_where_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"--address 127\.0\.0\.1:9: no Ray cluster answers there"):
        synthesise(replace(SMALL, engine="ray", address="127.0.0.1:9"), tmp_path / "small", quiet=True)
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"address": "auto"}, "--address auto: is of a Ray cluster: --engine ray"),
        (
            {"engine": "ray", "processes": 2},
            "--processes 2: Ray starts as many as its nodes have cores: leave it out",
        ),
        (
            {"engine": "ray", "texture": "diffusion"},
            "--engine ray: textures are painted first: pain3d texture BANK, then --texture bank:BANK",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(changed: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        preview(replace(SMALL, **changed), tmp_path / "small")
    assert str(refused.value) == line


def test_torchrun_and_ray_contradict_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2",
                        "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with pytest.raises(RefusedError, match="--engine ray: Ray starts its workers itself: no torchrun"):
        synthesise(replace(SMALL, engine="ray"), tmp_path / "small", quiet=True)
