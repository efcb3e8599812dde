"""The record of action units: names both ways, bad input, the curve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pain3d.facs import AU_NUMBERS, ActionUnits, pspi
from pain3d.facs.action_units import ARKIT_OF_AU, intensity_to_weight, weight_to_intensity


def test_readme_example() -> None:
    assert ActionUnits(AU4=4, AU6=3, AU9=2, AU43=1).pspi() == 10


@pytest.mark.parametrize(
    ("given_au", "message"),
    [
        ({"AU4": 6}, r"AU4 must be in 0\.\.5, got 6\.0"),
        ({"AU4": -1}, r"AU4 must be in 0\.\.5, got -1\.0"),
        ({"AU9_L": float("nan")}, r"AU9 must be in 0\.\.5, got nan"),
        ({"AU43": 3}, r"AU43 must be 0 or 1 \(eyes open or shut\), got 3\.0"),
        ({"AU3": 1}, r"unknown action unit 'AU3'; known: AU1, AU2, AU4"),
        ({"AU4_X": 1}, r"unknown action unit 'AU4_X'"),
        ({"AU4": 1, "AU04_L": 2}, r"AU04_L is given twice"),
    ],
)
def test_bad_input_is_one_line(given_au: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        ActionUnits(**given_au)
    assert "\n" not in str(caught.value)


intensities = st.dictionaries(
    st.sampled_from([n for n in AU_NUMBERS if n != 43]), st.floats(0, 5, allow_subnormal=False), max_size=8
)


@given(intensities, st.booleans())
def test_rows_and_names_go_round(values: dict[int, float], shut: bool) -> None:
    au = ActionUnits(**{f"AU{n}": v for n, v in values.items()}, AU43=float(shut))
    assert ActionUnits(**au.nonzero()) == au
    row = au.as_row()
    wanted = pspi(*(row[f"AU{n:02d}"] for n in (4, 6, 7, 9, 10, 43)))
    assert au.pspi() == pytest.approx(wanted)
    back = ActionUnits.from_openface(au.to_openface())
    assert np.allclose(back.as_array(), au.as_array())


def test_asymmetry_takes_the_larger_side() -> None:
    au = ActionUnits(AU4_L=4, AU4_R=2)
    assert au[4] == 4 and au.pspi() == 4
    assert au.as_row()["AU04_R"] == 2
    assert au.nonzero() == {"AU4_L": 4, "AU4_R": 2}


def test_arkit_goes_round() -> None:
    au = ActionUnits(AU4_L=3, AU6=5, AU9_R=2, AU10=1, AU43=1, AU12=4)
    named = au.to_arkit()
    assert named["browDownLeft"] == pytest.approx(0.56) and named["browDownRight"] == 0
    assert named["eyeBlinkLeft"] == 1 and named["jawOpen"] == 0
    assert np.allclose(ActionUnits.from_arkit(named).as_array(), au.as_array())
    assert len(set(ARKIT_OF_AU.values())) == len(ARKIT_OF_AU)
    with pytest.raises(ValueError, match="ARKit name 'tongueOut' has no action unit here"):
        ActionUnits.from_arkit({"tongueOut": 0.5})
    with pytest.raises(ValueError, match=r"ARKit coefficient browDownLeft must be in 0\.\.1, got 2"):
        ActionUnits.from_arkit({"browDownLeft": 2})


@given(st.floats(0, 5))
def test_curve_is_monotone_and_invertible(intensity: float) -> None:
    assert weight_to_intensity(intensity_to_weight(intensity)) == pytest.approx(intensity, abs=1e-9)
    assert intensity_to_weight(min(5, intensity + 0.01)) >= intensity_to_weight(intensity)
