"""Processes that draw for a device: more people than are in flight, and what they draw is what a thread draws."""

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace

import numpy as np
import pytest
import torch

from pain3d.device import map_tensors
from pain3d.head import Head
from pain3d.pipeline import device_synthesis
from pain3d.pipeline.device_synthesis import DeviceBatches
from pain3d.pipeline.plan import make_plan
from pain3d.pipeline.rows import Provenance
from pain3d.pipeline.synthesis import EncodedIdentity, PreparedIdentity, prepare_identity
from pain3d.rendering.frames import TEXTURE_SIZE
from pain3d.skin import surface_maps
from tests.pipeline.conftest import SMALL


@pytest.mark.slow
def test_processes_draw_what_a_thread_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two real processes, 130 people; in place of a device somebody who only looks."""
    config = replace(SMALL, identities=130, expressions=1, views=1, size=16, processes=2)
    people = [person for shard in make_plan(config).shards for person in shard.identities]
    provenance = Provenance(0, "", "", "")
    seen: list[PreparedIdentity] = []
    batches: list[int] = []

    class Looker(DeviceBatches):
        def __init__(self, device: torch.device, encoders: Executor, at_a_time: int) -> None:
            self._encoders = encoders

        def make(self, drawn: Sequence[Future[PreparedIdentity]]) -> list[Future[EncodedIdentity]]:
            seen.extend(one.result() for one in drawn)
            batches.append(len(drawn))
            made = [EncodedIdentity(one.identity_id, 1, {}, {"sample": one.seconds}) for one in seen[-len(drawn) :]]
            return [self._encoders.submit(lambda one=one: one) for one in made]

    monkeypatch.setattr(device_synthesis, "DeviceBatches", Looker)
    found = list(device_synthesis.synthesise_on(torch.device("cuda"), config, people, provenance, 2, {}))
    assert [one.identity_id for one in found] == [person.identity_id for person in people]
    assert batches == [16, 32, 32, 32, 18]
    alone = prepare_identity(config, people[20], provenance, surface_maps(Head.default(), TEXTURE_SIZE))
    arrays, beside = arrays_of(alone.inputs), arrays_of(seen[20].inputs)
    assert len(arrays) > 20 and arrays == beside


def arrays_of(record: object) -> list[bytes]:
    """The arrays of a record, to the bit."""
    found: list[bytes] = []
    map_tensors(record, lambda array: found.append(array.tobytes()), np.ndarray)
    return found
