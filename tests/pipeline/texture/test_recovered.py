"""Knows how exactly a known texture comes back from pictures of it: as `benchmarks.recovered`, small."""

import numpy as np
import pytest
import torch

from benchmarks.recovered import Recovered, known_texture, recover, seams
from pain3d.head.model import Head

SIZE = 256


@pytest.fixture(scope="module")
def recovered() -> Recovered:
    """A head of one colour under noise as fine as the benchmark's, from three views as large."""
    plain = np.broadcast_to(np.array([0.70, 0.52, 0.44], np.float32), (SIZE, SIZE, 3))
    return recover(Head.default(), known_texture(plain), 3, SIZE)


def test_a_known_texture_comes_back(recovered: Recovered) -> None:
    row = recovered.row
    assert row.psnr > 35  # seen 36.3
    assert row.coverage > 95 and row.under_60 > 90  # seen 98.2 and 94.5


def test_nothing_is_seen_where_no_view_looks(recovered: Recovered) -> None:
    assert (recovered.fused[recovered.weight == 0] == 0).all()
    assert torch.isfinite(recovered.fused).all()


def test_a_seam_is_measured(recovered: Recovered) -> None:
    """A view that is 10 % lighter (in sRGB) and cut out hard: the measure tells it from what fusing leaves."""
    truth, best, where = recovered.truth, recovered.best, recovered.weight > 0
    cut = truth * torch.where(best == 0, 1.1, 1.0)[..., None]
    assert 0.15 < float(seams(cut, truth, best, where).median()) < 0.35  # 1.1^2.4 is 1.26
    assert float(seams(truth, truth, best, where).max()) == 0
