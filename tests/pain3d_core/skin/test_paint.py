"""The painted texture: same bytes for the same person, plausible values everywhere, no seams, people that differ."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from pain3d.colour import typology_angle
from pain3d.head.model import Head
from pain3d.kernels.rendering.relief import CHANNELS
from pain3d.kernels.texturing import build_mipmaps
from pain3d.scene import demographic_grid, sample_scenes
from pain3d.skin import Skin, SurfaceMaps, paint, sample_skin, surface_maps
from pain3d.skin.beard import DARK, LIGHT, draw_beard
from pain3d.skin.brows import draw_brows
from pain3d.skin.chromophores import skin_albedo
from pain3d.skin.layer import Layer
from pain3d.skin.maps import bounds
from pain3d.skin.painting import paint_mipmaps
from pain3d.skin.relief import STEEPEST

Floats = npt.NDArray[np.float32]
SIZE = 512  # half of what is rendered with: every mask and stroke is there, a test takes a quarter of the time
BARE = Skin(hair_style="bald", hair_density=0.0, stubble=0.0, freckles=0.0, age_marks=0.0)


@pytest.fixture(scope="module")
def maps() -> SurfaceMaps:
    return surface_maps(Head.default(), SIZE)


def texels(maps: SurfaceMaps, texture: torch.Tensor, x: float, y: float, reach: int = 3) -> Floats:
    """Texels [N, 16] around a frontal position in mm."""
    column, row = np.rint(maps.texels_at(np.array([[x, y]], np.float32))[0]).astype(int)
    return texture[row - reach : row + reach + 1, column - reach : column + reach + 1].reshape(-1, CHANNELS).numpy()


def brightness(maps: SurfaceMaps, texture: torch.Tensor, x: float, y: float, reach: int = 3) -> float:
    return float(texels(maps, texture, x, y, reach)[:, :3].mean())


@pytest.mark.parametrize("sex, age", [(0.0, 25.0), (1.0, 70.0)])
def test_same_skin_same_bytes_on_any_number_of_threads(maps: SurfaceMaps, sex: float, age: float) -> None:
    skin = sample_skin(3, 5, age, sex, (0.2, 0.3, 0.5))
    first = paint(maps, skin)
    torch_threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        alone = paint(maps, skin)
        torch.set_num_threads(2)
        cv2.setNumThreads(2)
        together = paint(maps, skin)
    finally:
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv_threads)
    assert torch.equal(first, alone)
    assert torch.equal(first, together)


def test_maps_built_on_any_number_of_threads_are_the_same() -> None:
    skin = sample_skin(1, 1, 40.0, 1.0, (0.4, 0.3, 0.3))
    threads = torch.get_num_threads()
    painted = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            painted.append(paint(surface_maps(Head.load(_default_path()), 128), skin))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*painted)


def _default_path() -> str:
    from pain3d.head.assets import DEFAULT_HEAD

    return str(DEFAULT_HEAD)


@pytest.mark.parametrize("size", [64, 256, SIZE])
def test_every_texel_is_painted_within_range(size: int) -> None:
    maps = surface_maps(Head.default(), size)
    for number, ancestry in enumerate([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]):
        texture = paint(maps, sample_skin(0, number, 18.0 + 38 * number, number % 2, ancestry))
        assert texture.shape == (size, size, CHANNELS)
        assert texture.dtype == torch.float32
        assert bool(torch.isfinite(texture).all())
        # 0.003 is the least albedo that paint writes: a texel that no layer reached would hold what was in memory.
        assert float(texture[..., :3].min()) >= 0.003
        assert float(texture[..., :3].max()) <= 0.95
        assert 0 <= float(texture[..., 3].min()) <= float(texture[..., 3].max()) <= 2
        assert float(texture[..., 4].min()) >= 0.05
        assert float(texture[..., 4].max()) <= 1
        assert float(texture[..., 5:7].abs().max()) <= np.float32(STEEPEST)
        assert 0 <= float(texture[..., 7].min()) <= float(texture[..., 7].max()) <= 1
        for first in (8, 12):
            assert float(texture[..., first : first + 2].abs().max()) <= np.float32(STEEPEST)
            assert float(texture[..., first + 2].min()) >= 0  # shade


def test_no_part_of_the_texture_is_left_to_memory(maps: SurfaceMaps) -> None:
    parts = sum(int((maps.part == number).sum()) for number in range(len(maps.part_names)))
    assert parts == SIZE * SIZE
    for number, name in enumerate(maps.part_names):
        outside = maps.part == number
        outside[maps.boxes[name]] = False
        assert not outside.any(), name


def test_forehead_covers_the_typology_and_darkens_with_melanin(maps: SurfaceMaps) -> None:
    angles = []
    for melanin in np.linspace(0, 1, 9):
        texture = paint(maps, replace(BARE, melanin=float(melanin)))
        angles.append(float(typology_angle(texels(maps, texture, 0, 65)[:, :3].astype(float).mean(0))))
    assert all(later < earlier for earlier, later in pairwise(angles)), angles
    assert angles[0] > 50
    assert angles[-1] < -45


def test_skin_is_red_over_green_over_blue_and_as_light_as_skin(maps: SurfaceMaps) -> None:
    for melanin, low, high in ((0.1, 0.30, 0.60), (0.9, 0.03, 0.12)):
        red, green, blue = texels(maps, paint(maps, replace(BARE, melanin=melanin)), 0, 65)[:, :3].mean(0)
        assert red > green > blue
        assert low < (red + green + blue) / 3 < high


def test_brow_landmarks_stand_in_the_middle_of_the_hairs(maps: SurfaceMaps) -> None:
    head = Head.default()
    drawn = np.zeros((SIZE, SIZE))
    for person in range(8):
        look = sample_skin(0, person, 25 + 8 * person, person % 2, (person % 3 == 0, person % 3 == 1, person % 3 == 2))
        for brow in draw_brows(maps, look):
            drawn[brow.inside] += brow.drawn[1:].sum(0)
    places = 1000 * head.landmark_points(head.template).numpy()
    above = np.arange(-8, 8, 0.25)  # mm
    for number in range(17, 27):
        x, y, _ = places[head.landmark_names.index(f"ibug_{number}")]
        columns, rows = maps.texels_at(np.stack([np.full_like(above, x), y + above], 1).astype(np.float32)).round().T
        hairs = drawn[rows.astype(int), columns.astype(int)]
        assert hairs.max() > 0.3 * drawn.max()  # none is beyond a brow's end
        assert abs((hairs * above).sum() / hairs.sum()) < 0.7, number  # mm; worst seen 0.36, roots lie 1.5 lower


@pytest.mark.parametrize("melanin", [0.15, 0.5, 0.85])
def test_lips_and_brows_are_darker_than_the_cheek_and_lips_redder(maps: SurfaceMaps, melanin: float) -> None:
    texture = paint(maps, Skin(melanin=melanin, brow_density=0.7))
    cheek = texels(maps, texture, 45, -25)[:, :3].mean(0)
    upper, lower = (texels(maps, texture, 8, y, 1)[:, :3].mean(0) for y in (-39, -50))
    assert upper.mean() < 0.8 * cheek.mean()
    assert upper.mean() < 0.9 * lower.mean()
    assert lower[0] / lower[1] > (1.05 if melanin < 0.7 else 1.0) * cheek[0] / cheek[1]  # lips of dark skin are brown
    for lip in (upper, lower):  # less yellow, as in photographs
        assert lip[2] / lip[1] > 1.05 * cheek[2] / cheek[1]
    for side in (-1, 1):
        assert brightness(maps, texture, side * 36, 46, 1) < 0.7 * cheek.mean()


@pytest.mark.parametrize("melanin", [0.1, 0.45, 0.9])
def test_seams_of_bare_skin_do_not_show(maps: SurfaceMaps, melanin: float) -> None:
    differences = _seam_differences(maps, paint(maps, replace(BARE, melanin=melanin)), {"skin", "neck"})
    assert len(differences) > 60  # vertices with two texels: the back of the skull and the ring below the face
    # Worst seen over 12 people: median 0.036, largest 0.19 (both dark): mottle of 3 mm sampled half a texel apart. A
    # mask drawn on one chart only (scalp hair that was left at density 0) gave 0.55.
    assert np.median(differences) < 0.06
    assert differences.max() < 0.3


def test_lips_meet_the_mouth_in_one_colour(maps: SurfaceMaps) -> None:
    for melanin in (0.2, 0.85):
        differences = _seam_differences(maps, paint(maps, replace(BARE, melanin=melanin)), {"skin", "mouth"})
        assert np.median(differences) < 0.25  # worst of 12 people 0.13; 1.0 where the mouth keeps its own red


def _seam_differences(maps: SurfaceMaps, texture: torch.Tensor, parts: set[str]) -> Floats:
    """Relative difference of the albedo at vertices that have two texels, both on one of these parts."""
    topology = Head.default().topology
    owners: dict[int, dict[int, str]] = {}
    for corner, (face, uv_face) in enumerate(zip(topology.faces.tolist(), topology.uv_faces.tolist(), strict=True)):
        name = topology.part_names[int(topology.face_parts[corner])]
        for vertex, uv in zip(face, uv_face, strict=True):
            owners.setdefault(vertex, {})[uv] = name
    albedo = np.ascontiguousarray(texture[..., :3].numpy())
    uvs = topology.uvs.numpy()
    height = Head.default().template[:, 1]
    differences = []
    for vertex, places in owners.items():
        names = list(places.values())
        if len(places) < 2 or not set(names) <= parts or ("mouth" in parts and len(set(names)) < 2):
            continue
        if height[vertex] < -0.115:  # the shirt and its edge, which is as sharp as a texel
            continue
        at = uvs[list(places)] * [1, -1] * SIZE + [-0.5, SIZE - 0.5]
        seen = [cv2.remap(albedo, *np.float32(p).reshape(2, 1, 1), cv2.INTER_LINEAR)[0, 0] for p in at[:2]]
        differences.append(np.abs(seen[0] - seen[1]).max() / np.mean(seen))
    return np.array(differences, np.float32)


def test_people_differ(maps: SurfaceMaps) -> None:
    same = replace(BARE, age_marks=0.5, freckles=0.4)
    first, second = (paint(maps, replace(same, identity=number)) for number in (0, 1))
    face = maps.masks["facing"] > 0.9
    difference = (first - second).abs()[..., :3].mean(-1).numpy()[face]
    # Two people of equal parameters differ in more than half of the face by more than an 8-bit step of sRGB (about
    # 0.005 at this brightness), but not in their tone.
    assert np.median(difference) > 0.005
    means = [float(t.numpy()[face][:, :3].mean()) for t in (first, second)]
    assert abs(means[0] - means[1]) < 0.05 * means[0]


def test_hair_grows_on_the_skull_and_not_on_the_face(maps: SurfaceMaps) -> None:
    haired = paint(maps, Skin(hair_style="short", hair_density=1.0, hair_colour=(0.01, 0.01, 0.01), recession=0.0))
    bald = paint(maps, replace(BARE, hair_colour=(0.01, 0.01, 0.01)))
    skin = maps.part == maps.part_names.index("skin")
    ratio = haired[..., :3].mean(-1).numpy() / bald[..., :3].mean(-1).numpy()
    top = skin & (maps.y > 125)
    face = skin & (maps.z > 80) & (np.abs(maps.y - 65) < 8) & (np.abs(maps.x) < 25)
    assert np.median(ratio[top]) < 0.2
    assert np.median(ratio[face]) > 0.85


def test_stubble_darkens_the_jaw_alone(maps: SurfaceMaps) -> None:
    shaved, rough = (paint(maps, replace(BARE, stubble=s, hair_colour=(0.02, 0.015, 0.01))) for s in (0.0, 1.0))
    assert brightness(maps, rough, 30, -65) < 0.85 * brightness(maps, shaved, 30, -65)
    assert brightness(maps, rough, 0, 65) == brightness(maps, shaved, 0, 65)


def test_a_moustache_hangs_over_the_upper_lip_alone_and_parts_below_the_nose(maps: SurfaceMaps) -> None:
    men = [replace(BARE, identity=k, hair_colour=(0.02, 0.015, 0.01), age=45.0) for k in range(3)]
    shaved, bearded = ([paint(maps, replace(man, beard=beard)) for man in men] for beard in (0.0, 1.0))
    for place, covered in (
        ((12, -38), True),
        ((-12, -38), True),
        ((0, -50), False),
        ((0, -62), True),
        ((30, -62), True),
    ):
        ratios = [brightness(maps, one, *place, 1) / brightness(maps, other, *place, 1)
                  for one, other in zip(bearded, shaved, strict=True)]  # fmt: skip
        ratio = float(np.median(ratios))  # somebody has a bare patch there
        assert ratio < 0.6 if covered else ratio > 0.8, (place, ratio)
    hairs = maps.beard["skin"]
    ends = np.rint(hairs.paths[:, 3]).astype(int)
    moved = np.stack([plane[ends[:, 1], ends[:, 0]] for plane in (maps.x, maps.y)], 1)
    moved -= np.stack([hairs.across, hairs.height], 1)
    for side in (-1, 1):  # a texel is up to 1 mm wide
        lip = (side * hairs.across > 8) & (side * hairs.across < 24) & (hairs.height > -38) & (hairs.height < -28)
        assert lip.sum() > 50
        assert np.median(side * moved[lip, 0]) > 1 and np.median(moved[lip, 1]) < -1


def test_a_beard_thins_out_below_the_jaw_and_leaves_the_throat_bare(maps: SurfaceMaps) -> None:
    man = replace(BARE, hair_colour=(0.02, 0.015, 0.01), age=45.0)
    neck = maps.covered & (maps.part == maps.part_names.index("neck"))
    front = neck & (np.abs(maps.x) < 6) & (maps.z > 0)
    shaved = paint(maps, man).numpy()[..., :3].mean(-1)
    for greyness, under in ((0.0, 0.5), (1.0, 0.85)):
        bearded = paint(maps, replace(man, beard=1.0, greyness=greyness)).numpy()[..., :3].mean(-1)
        ratio = bearded / shaved
        assert np.median(ratio[front & (np.abs(maps.y + 90) < 3)]) < under
        assert np.median(ratio[front & (np.abs(maps.y + 102) < 2)]) > 0.85
        assert np.median(ratio[front & (np.abs(maps.y + 112) < 3)]) > 0.98
        # From texel to texel, of 2 mm: 0.21 and 0.10; 0.51 and 0.33 where each hair was a line of texels.
        assert np.abs(np.diff(ratio, axis=1))[neck[:, 1:] & neck[:, :-1] & (maps.y[:, 1:] < -60)].max() < 0.26


def test_beards_turn_grey_hair_by_hair(maps: SurfaceMaps) -> None:
    man = replace(BARE, beard=0.8, hair_colour=(0.02, 0.015, 0.01), age=60.0)
    shares, chins = [], []
    for greyness in (0.0, 0.5, 1.0):
        drawn = draw_beard(maps, "skin", replace(man, greyness=greyness))
        assert drawn is not None and drawn.hairs is not None
        coverage, tone = drawn.hairs
        shares.append(float((tone[coverage > 128] > sum((DARK[1], LIGHT[0])) / 2).mean()))
        chins.append(brightness(maps, paint(maps, replace(man, greyness=greyness)), 0, -68, 6))
    assert shares[0] == 0 and 0.2 < shares[1] < 0.8 and shares[2] > 0.95  # none is half grey
    assert chins[0] < 0.8 * chins[1] < 0.8 * 0.9 * chins[2]


def test_nobody_is_naked_and_the_neck_has_the_tone_of_the_face(maps: SurfaceMaps) -> None:
    shirt = (0.05, 0.1, 0.5)
    texture = paint(maps, replace(BARE, shirt_colour=shirt)).numpy()
    neck = maps.part == maps.part_names.index("neck")
    shoulders = texture[neck & (maps.masks["neckline"] < -20)]
    assert np.abs(np.median(shoulders[:, :3], 0) - shirt).max() < 0.1
    throat = texture[neck & (maps.masks["neckline"] > 20) & (maps.y < -90)]
    forehead = texture[(maps.part == 0) & (maps.z > 85) & (np.abs(maps.y - 65) < 8)]
    assert np.allclose(np.median(throat[:, :3], 0), np.median(forehead[:, :3], 0), rtol=0.15)


def test_iris_pupil_and_sclera_are_where_they_belong(maps: SurfaceMaps) -> None:
    texture = paint(maps, Skin(eye_colour=(0.1, 0.2, 0.4))).numpy()
    for part in ("left_eye", "right_eye"):
        column, row = np.rint(maps.landmark_texels["left_pupil" if part == "left_eye" else "right_pupil"]).astype(int)
        assert texture[row, column, :3].max() < 0.03
        iris = texture[row, column + round(0.014 * SIZE)]  # 14 degrees out
        assert iris[2] > 1.5 * iris[0]
        assert iris[4] < 0.15  # the cornea is a mirror
        white = texture[row, column + round(0.030 * SIZE)]  # 30 degrees
        assert white[:3].min() > 0.25


def test_teeth_are_lighter_than_the_mouth_which_is_not_black(maps: SurfaceMaps) -> None:
    texture = paint(maps, Skin()).numpy()
    front = maps.z > 85
    teeth = texture[(maps.part == maps.part_names.index("lower_teeth")) & front & (maps.y > -52)]
    mouth = texture[(maps.part == maps.part_names.index("mouth")) & front]
    assert np.median(teeth[:, :3]) > 0.3
    assert np.median(mouth[:, 0]) > 0.1
    assert np.median(mouth[:, 0]) > 2 * np.median(mouth[:, 1])


def test_grey_comes_with_age(maps: SurfaceMaps) -> None:
    young, old = (Skin(hair_colour=(0.02, 0.015, 0.01), greyness=g, age_marks=a) for g, a in ((0, 0), (1, 1)))
    first, second = paint(maps, young).numpy(), paint(maps, old).numpy()
    top = (maps.part == 0) & (maps.y > 125)
    assert np.median(second[top][:, :3]) > 4 * np.median(first[top][:, :3])


def test_cheeks_of_the_whole_grid_have_the_tone_that_was_asked() -> None:
    """No cell is darker than asked: painted ITA° against that of the parameters alone, two people a cell."""
    small = surface_maps(Head.default(), 256)
    asked, seen, melanin = [], [], []
    for number, cell in enumerate(demographic_grid(48, seed=3)):
        scene = sample_scenes(seed=3, identity_id=number, cell=cell, expressions=0, views=1)[0]
        texture = paint(small, replace(scene.skin, stubble=0.0, beard=0.0))
        cheeks = np.concatenate([texels(small, texture, side * 40, -20, 2) for side in (-1, 1)])[:, :3]
        seen.append(float(typology_angle(np.median(cheeks.astype(float), 0))))
        levels = (np.full((1, 1), level, np.float32) for level in (scene.skin.melanin, scene.skin.haemoglobin))
        asked.append(float(typology_angle(skin_albedo(*levels, scene.skin.carotene)[0, 0].astype(float))))
        melanin.append(scene.skin.melanin)
    assert np.corrcoef(asked, seen)[0, 1] > 0.98  # seen 0.999
    assert np.corrcoef(seen, melanin)[0, 1] < -0.95  # seen -0.957; the rest is blood and carotene
    assert min(seen) < -30
    assert max(seen) > 55
    difference = np.array(seen) - np.array(asked)
    # The cheek is flushed: a few degrees darker than the parameters, light skin and dark alike.
    assert np.abs(np.median(difference)) < 6
    for low, high in ((-90, 10), (10, 40), (40, 90)):
        group = difference[(np.array(asked) >= low) & (np.array(asked) < high)]
        assert abs(np.median(group) - np.median(difference)) < 6, (low, high)


@pytest.mark.parametrize("size", [0, 63, 1000, 16384])
def test_size_of_maps_is_checked(size: int) -> None:
    with pytest.raises(ValueError, match=r"size must be a power of two in 64\.\.8192"):
        surface_maps(Head.default(), size)


def test_maps_are_made_once(maps: SurfaceMaps) -> None:
    assert surface_maps(Head.default(), SIZE) is maps


def test_memory_that_is_painted_over_keeps_nothing_of_the_last_person(maps: SurfaceMaps) -> None:
    people = [
        replace(BARE, hair_style="bob", beard=0.0),
        replace(BARE, sex=1.0, beard=0.9, age=80.0, age_marks=0.9),
        BARE,
    ]
    for person in (*people, people[0]):
        assert torch.equal(paint_mipmaps(maps, person).texels, build_mipmaps(paint(maps, person)[None]).texels)


def test_paint_on_a_part_of_a_layer_is_paint_on_the_layer(maps: SurfaceMaps) -> None:
    layer = Layer.plain(maps, maps.boxes["neck"], (0.5, 0.5, 0.5), 1.0, 0.5)
    where = np.zeros(layer.height.shape, bool)
    where[3:7, 10:14] = where[20, 30] = True
    rows, columns = bounds(where)
    assert (rows, columns) == (slice(3, 21), slice(10, 31))
    part = layer.part((rows, columns))
    assert np.array_equal(part.mask("neckline"), layer.mask("neckline")[rows, columns])
    part.cover(where[rows, columns].astype(np.float32), (0.1, 0.2, 0.3), scatter=0.0)
    part.height += 1
    assert np.array_equal(layer.albedo[0] != np.float32(0.5), where) and np.array_equal(layer.scatter == 0, where)
    assert layer.height.sum() == 18 * 21
    assert bounds(np.zeros((4, 4), bool)) == (slice(0, 0), slice(0, 0))


def test_hair_hides_the_wrinkles_below_it(maps: SurfaceMaps) -> None:
    bald, fringe = (paint(maps, replace(BARE, age_marks=0.8, hair_style=style, hair_density=density))
                    for style, density in (("bald", 0.0), ("buzz", 1.0)))  # fmt: skip
    covered = fringe[..., 7] == 0
    assert covered.any() and not fringe[covered][:, 8:].any()
    assert bald[..., 8:].any()
