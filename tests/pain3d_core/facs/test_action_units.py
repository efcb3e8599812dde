"""The record of action units: names both ways, bad input, the curve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pain3d.facs import AU_NUMBERS, ActionUnits, pspi
from pain3d.facs.action_units import ARKIT_NAMES, ARKIT_OF_AU, intensity_to_weight, weight_to_intensity


def test_readme_example() -> None:
    assert ActionUnits(AU4=4, AU6=3, AU9=2, AU43=1).pspi() == 10


@pytest.mark.parametrize(
    ("given_au", "message"),
    [
        ({"AU4": 6}, r"AU4 must be in 0\.\.5, got 6$"),
        ({"AU4": -1.0}, r"AU4 must be in 0\.\.5, got -1\.0$"),
        ({"AU4": None}, r"AU4 must be in 0\.\.5, got None$"),
        ({"AU4": "3"}, r"AU4 must be in 0\.\.5, got '3'$"),
        ({"AU4": [1, 2]}, r"AU4 must be one number, got \[1, 2\]$"),
        ({"AU9_L": float("nan")}, r"AU9 must be in 0\.\.5, got nan"),
        ({"AU43": 3}, r"AU43 must be 0 or 1 \(eyes open or shut\), got 3$"),
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
    with pytest.raises(
        ValueError, match=r"^ARKit name 'tongueOut' has no action unit here and is 0\.5: strict=False leaves"
    ):
        ActionUnits.from_arkit({"tongueOut": 0.5})
    with pytest.raises(ValueError, match=r"ARKit coefficient browDownLeft must be in 0\.\.1, got 2"):
        ActionUnits.from_arkit({"browDownLeft": 2})


def test_arkit_has_52_names_both_ways() -> None:
    au = ActionUnits(AU4=3, AU6_R=4, AU28=2, AU43=1)
    named = au.to_arkit()
    assert tuple(named) == ARKIT_NAMES and len(set(named)) == 52
    assert named["mouthRollLower"] == named["mouthRollUpper"] == pytest.approx(0.32)
    assert ActionUnits.from_arkit(named).nonzero() == pytest.approx(au.nonzero())
    assert ActionUnits.from_arkit(named | {"_neutral": 0.7}) == ActionUnits.from_arkit(named)
    live_link = {f" {name[0].upper()}{name[1:]} ": str(value) for name, value in named.items()}
    assert ActionUnits.from_arkit(live_link) == ActionUnits.from_arkit(named)


def test_what_arkit_has_and_facs_lacks_is_refused_or_left_out() -> None:
    named = ActionUnits(AU4=3).to_arkit() | {"jawLeft": 0.2, "eyeLookUpLeft": 0.1}
    with pytest.raises(ValueError, match=r"^ARKit name 'eyeLookUpLeft' has no action unit here and is 0.1"):
        ActionUnits.from_arkit(named)
    assert ActionUnits.from_arkit(named | {"Timecode": "00:01"}, strict=False).nonzero() == pytest.approx({"AU4": 3})
    with pytest.raises(ValueError, match=r"^no name of ARKit such as browDownLeft, got 'AU04_r'$"):
        ActionUnits.from_arkit({"AU04_r": 0.0})
    with pytest.raises(ValueError, match=r"^browDownLeft must be a number, got 'much'$"):
        ActionUnits.from_arkit({"browDownLeft": "much"})


def test_openface_names_carry_blanks() -> None:
    """As its CSV files have them, read by whatever reader: blanks before names and numbers, numbers as text."""
    au = ActionUnits(AU4=4, AU7=3, AU10=2, AU43=1)
    row = {f" {name}": f" {value:.2f}" for name, value in au.to_openface().items()}
    assert ActionUnits.from_openface({"frame": "1", " face_id": " 0", **row}) == au


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "no column of OpenFace such as AU04_r, got nothing$"),
        ({"AU04": 3.0, "AU06": 1.0}, "no column of OpenFace such as AU04_r, got 'AU04', 'AU06'$"),
        ({"AU04_r": 3.0, "AU06_r": 1.0}, r"columns must hold AU07_r, AU09_r, AU10_r, AU45_r, got 'AU04_r', 'AU06_r';"),
        (ActionUnits().to_openface() | {"AU04_r": float("nan")}, "AU04_r must be a number, got nan$"),
        (ActionUnits().to_openface() | {"AU04_r": 7.0}, r"AU4 must be in 0\.\.5, got 7\.0$"),
    ],
)
def test_openface_without_a_wanted_unit_is_no_face_at_rest(row: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        ActionUnits.from_openface(row)


def test_openface_takes_what_there_is_where_that_is_wanted() -> None:
    assert ActionUnits.from_openface({" AU04_r": 3.0}, wanted=()) == ActionUnits(AU4=3)


@given(st.floats(0, 5))
def test_curve_is_monotone_and_invertible(intensity: float) -> None:
    assert weight_to_intensity(intensity_to_weight(intensity)) == pytest.approx(intensity, abs=1e-9)
    assert intensity_to_weight(min(5, intensity + 0.01)) >= intensity_to_weight(intensity)
