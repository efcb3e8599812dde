"""Steps between limits are the lowest points of their quadratics; parameters stand where their blocks say."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from pain3d.facs.action_units import AU_NUMBERS
from pain3d.fitting.appearance import LAMPS, light_prior
from pain3d.fitting.parameters import AU_STEP, LIDS_DIFFER, SIDES_DIFFER, numbers_of
from pain3d.fitting.solver import bounded_step


@pytest.mark.parametrize("seed", range(12))
def test_a_bounded_step_is_the_lowest_point(seed: int) -> None:
    """Against SciPy's bounded least squares, whose method is another."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 30))
    rows, target = generator.standard_normal((count + 4, count)), generator.standard_normal(count + 4)
    low, high = -generator.uniform(0, 0.3, count), generator.uniform(0, 0.3, count)
    low[generator.random(count) < 0.2] = 0.0  # a number at its limit
    high[generator.random(count) < 0.2] = np.inf
    step = bounded_step(rows.T @ rows, -rows.T @ target, low, high)
    assert (step >= low).all() and (step <= high).all()
    wanted = lsq_linear(rows, target, (low - 1e-12, high), tol=1e-14, lsmr_tol="auto").x
    # Worst seen 3e-6: SciPy's interior points stop that far from a limit.
    assert np.abs(step - wanted).max() < 1e-4
    cost = [((rows @ x - target) ** 2).sum() for x in (step, np.clip(wanted, low, high))]
    assert cost[0] <= cost[1] + 1e-9


def test_blocks_of_several_moments() -> None:
    lights = light_prior()
    numbers = numbers_of([0, 1, 2], [2], lights, smooth=0.25)
    names = {name for name, _ in numbers.slices}
    assert names == {"axes", "shape", "tone", "au", "gaze", "camera", "light"}
    assert [which for name, which in numbers.slices if name == "au"] == [0, 1]  # the third is neutral
    assert numbers.of_picture(2) == (("axes", 0), ("shape", 0), ("tone", 0), ("gaze", 2), ("camera", 2), ("light", 2))
    assert len(numbers.mean) == max(span.stop for span in numbers.slices.values())
    assert (numbers.low <= numbers.mean).all() and (numbers.mean <= numbers.high).all()
    at = numbers.slices["au", 0]
    assert numbers.step[at.start] == AU_STEP and numbers.high[at].max() == 5 and numbers.high[at].min() == 1
    # Two moments of sides that agree, and one step from the first to the second.
    assert len(numbers.ties) == 2 * len(AU_NUMBERS) + 2 * len(AU_NUMBERS)
    values = numbers.start()
    assert numbers.beyond(values) == 0
    values[numbers.slices["au", 0].start] = 1  # AU1 left: 1 apart from its right, 1 from the next moment
    prior = 0.5 / numbers.deviation[at.start] ** 2 + numbers.sparse[at.start]
    assert numbers.beyond(values) == pytest.approx(prior + 0.5 / SIDES_DIFFER**2 + 0.5 / 0.25**2)
    assert LIDS_DIFFER < SIDES_DIFFER and numbers.length(("light", 0)) == LAMPS + 2


def test_one_moment_seen_twice_shares_its_action_units() -> None:
    numbers = numbers_of([0, 0], [], light_prior())
    assert [block for block in numbers.slices if block[0] == "au"] == [("au", 0)]
    assert numbers.of_picture(1)[-2:] == (("camera", 1), ("light", 1))
