"""Who is drawn: by key alone, within range, broad and overlapping, with age and sex where they belong."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from pain3d.colour import typology_angle
from pain3d.skin import Skin, sample_skin
from pain3d.skin.chromophores import (
    BLOOD,
    MELANIN_STEP,
    MELANOSOMES,
    TABLE,
    WAVELENGTHS,
    skin_albedo,
    skin_spectrum,
    skin_table,
    spectrum_to_linear,
)

AFRICAN, ASIAN, CAUCASIAN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
PEOPLE = 300


def angles(ancestry: tuple[float, float, float]) -> np.ndarray:
    people = [sample_skin(7, number, 40.0, 0.5, ancestry) for number in range(PEOPLE)]
    melanin = np.array([[person.melanin for person in people]], np.float32)
    blood = np.array([[person.haemoglobin for person in people]], np.float32)
    return typology_angle(skin_albedo(melanin, blood)[0].astype(float))


def test_draws_belong_to_their_key() -> None:
    first = sample_skin(1, 2, 30.0, 0.9, ASIAN)
    sample_skin(1, 3, 30.0, 0.9, ASIAN)
    assert sample_skin(1, 2, 30.0, 0.9, ASIAN) == first
    assert sample_skin(1, 3, 30.0, 0.9, ASIAN) != first
    assert sample_skin(2, 2, 30.0, 0.9, ASIAN) != first


def test_skin_survives_json_and_is_short() -> None:
    skin = sample_skin(2**63 - 1, 10**9, 77.77, 0.1234, (0.3333, 0.3333, 0.3334))
    text = json.dumps(asdict(skin), separators=(",", ":"))
    back = {key: tuple(value) if isinstance(value, list) else value for key, value in json.loads(text).items()}
    assert Skin(**back) == skin
    assert len(text) < 700  # a scene has 2 KB and an identity takes half of them


def test_tones_cover_the_typology_and_overlap() -> None:
    drawn = {name: angles(share) for name, share in (("african", AFRICAN), ("asian", ASIAN), ("caucasian", CAUCASIAN))}
    everyone = np.concatenate(list(drawn.values()))
    assert np.quantile(everyone, 0.02) < -40
    assert np.quantile(everyone, 0.98) > 52
    low, middle, high = (np.quantile(drawn[name], [0.05, 0.5, 0.95]) for name in ("african", "asian", "caucasian"))
    assert low[1] < middle[1] < high[1]
    assert middle[2] > high[0]  # broad and overlapping, not three boxes
    assert low[2] > -15
    for name, values in drawn.items():
        assert np.ptp(np.quantile(values, [0.05, 0.95])) > 18, name


def test_sex_and_age_show_where_they_should() -> None:
    def mean(name: str, age: float, sex: float) -> float:
        return float(
            np.mean([getattr(sample_skin(3, number, age, sex, (0.3, 0.3, 0.4)), name) for number in range(PEOPLE)])
        )

    assert mean("stubble", 40, 0.05) == 0
    assert mean("stubble", 40, 0.95) > 0.2
    assert mean("brow_thickness", 40, 0.95) > mean("brow_thickness", 40, 0.05) + 0.8
    assert mean("greyness", 22, 0.5) == 0
    assert mean("greyness", 85, 0.95) > 0.7
    assert 0.35 < mean("greyness", 85, 0.05) < 0.65  # many women dye their hair
    assert mean("age_marks", 20, 0.5) < 0.1 < 0.6 < mean("age_marks", 85, 0.5)
    assert mean("lip_tint", 85, 0.5) < mean("lip_tint", 25, 0.5)
    assert mean("recession", 80, 0.95) > mean("recession", 25, 0.95) + 0.2
    styles = {sex: {sample_skin(3, n, 60.0, sex, CAUCASIAN).hair_style for n in range(PEOPLE)} for sex in (0.05, 0.95)}
    assert styles[0.95] == {"bald", "buzz", "short"}
    assert "bald" not in styles[0.05]


def test_dark_eyes_and_hair_are_dominant() -> None:
    def light_eyes(ancestry: tuple[float, float, float]) -> float:
        return float(np.mean([sample_skin(5, n, 30.0, 0.5, ancestry).eye_colour[2] > 0.1 for n in range(PEOPLE)]))

    assert light_eyes(ASIAN) == 0
    assert light_eyes((0.8, 0.0, 0.2)) < 0.08
    assert 0.2 < light_eyes(CAUCASIAN) < 0.6


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("melanin", 1.2, r"melanin must be in 0\.\.1, got 1\.2"),
        ("melanin", float("nan"), r"melanin must be in 0\.\.1, got nan"),
        ("sex", "male", r"sex must be in 0\.\.1 \(0 female shapes, 1 male shapes\), got 'male'$"),
        ("eye_colour", "brown", r"eye_colour must be three numbers in 0\.\.1 \(linear rgb\), got 'brown'$"),
        ("age", 12.0, r"age must be in 18\.\.95 years \(adults only\), got 12\.0"),
        ("hair_style", "mohican", r"hair_style must be one of bald, .*, got 'mohican'"),
        ("brow_thickness", 0.0, r"brow_thickness must be in 2\.\.14 mm, got 0\.0"),
        ("shirt_colour", (0.1, 0.2), r"shirt_colour must be three numbers in 0\.\.1"),
    ],
)
def test_values_are_checked(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Skin(**{field: value})  # type: ignore[arg-type]


def test_ancestry_is_checked() -> None:
    with pytest.raises(ValueError, match="ancestry must be three shares that sum to 1"):
        sample_skin(0, 0, 30.0, 0.5, (0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match=r"^sex must be in .*, got 'female'$"):
        sample_skin(0, 0, 30.0, "female", ASIAN)  # type: ignore[arg-type]


def test_spectra_and_white_are_physical() -> None:
    white = spectrum_to_linear(np.ones_like(WAVELENGTHS))
    # 2e-3: the observer is sampled every 10 nm from 400 nm on; white is normalised, so only rounding stays.
    assert np.allclose(white, 1, atol=2e-3)
    for melanosomes in (0.005, 0.1, 0.4):
        spectrum = skin_spectrum(melanosomes, 0.02)
        assert (spectrum > 0).all()
        assert (spectrum < 1).all()
    # Haemoglobin's two bands at 540 and 580 nm are dips against 560 nm in oxygenated skin.
    light = dict(zip(WAVELENGTHS, skin_spectrum(0.005, 0.05), strict=True))
    assert light[560] > light[540]
    assert light[560] > light[580]


def test_table_is_monotone_and_its_lookup_is_bilinear() -> None:
    table = skin_table()
    assert table.shape == (TABLE + 1, TABLE + 1, 3)
    # More melanin is darker, so is more blood; 7e-6 up is the worst seen, of the darkest blue that sRGB hardly holds.
    assert np.diff(table, axis=0).max() < 2e-5
    assert np.diff(table, axis=1).max() < 2e-5
    middle = skin_albedo(np.full((1, 1), 30.5 / TABLE, np.float32), np.full((1, 1), 20.5 / TABLE, np.float32))[0, 0]
    assert np.allclose(middle, table[30:32, 20:22].mean((0, 1)), rtol=1e-4)
    outside = skin_albedo(np.full((1, 1), 1.5, np.float32), np.full((1, 1), -1.0, np.float32))[0, 0]
    assert np.array_equal(outside, table[-1, 0])


def test_carotene_yellows_skin_and_hardly_darkens_it() -> None:
    levels = np.full((1, 1), 0.2, np.float32), np.full((1, 1), 0.4, np.float32)
    plain, yellow = (skin_albedo(*levels, share)[0, 0] for share in (0.0, 1.0))
    assert yellow[2] < 0.93 * plain[2]
    # Red is untouched and sRGB's gamut even gains: 0.56 → 0.57.
    assert abs(yellow[0] - plain[0]) < 0.02 * plain[0]
    half = skin_albedo(*levels, 0.5)[0, 0]
    melanosomes = MELANOSOMES[0] * (MELANOSOMES[1] / MELANOSOMES[0]) ** (0.2**MELANIN_STEP)
    blood = BLOOD[0] * (BLOOD[1] / BLOOD[0]) ** 0.4
    # Seen: 0.3 % in blue, from mixing the logarithms of two tables and their cells.
    assert np.allclose(half, spectrum_to_linear(skin_spectrum(melanosomes, blood, 0.5)), rtol=6e-3)
