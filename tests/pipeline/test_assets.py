"""Assets that users bring: from a folder or zip to the user's bank, a person's skin, the row, the card, verify."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pain3d.colour import typology_angle
from pain3d.console.refused import RefusedError
from pain3d.head import Head
from pain3d.head.base_mesh import read_base_mesh
from pain3d.pipeline.assets.importing import import_assets, sitter_of_name, skin_bank
from pain3d.pipeline.assets.skins import baked_light, fit_skin
from pain3d.pipeline.assets.worn import worn_skin
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.run import preview, synthesise
from pain3d.pipeline.verification import verify
from pain3d.scene import DemographicCell
from pain3d.skin import paint, sample_skin, surface_maps
from pain3d.skin.chromophores import skin_albedo
from pain3d.skin.photographed import FURTHEST, moved_tone
from tests.conftest import Ran


def picture(colour: tuple[int, int, int], side: int = 64) -> bytes:
    """A skin of one colour, red first."""
    return cv2.imencode(".png", np.full((side, side, 3), colour[::-1], np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    for name, colour in (("young_asian_female", (214, 170, 148)), ("old_african_male", (94, 62, 47))):
        (folder / "skins" / name).mkdir(parents=True)
        (folder / "skins" / name / f"{name}_diffuse.png").write_bytes(picture(colour))
    (folder / "skins/old_african_male/skin.mhmat").write_text(
        "# This asset was explicitly released as CC0 in september 2020.\ndiffuseTexture old_african_male_diffuse.png\n"
    )
    (folder / "licence.txt").write_text("CC-BY-4.0\n")
    return folder


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder of assets."""
    monkeypatch.setenv("PAIN3D_ASSETS", str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_a_skin_comes_to_lie_where_it_lay_on_the_base_mesh() -> None:
    head = Head.default()
    maps = surface_maps(head, 256)
    uvs, side = read_base_mesh().uvs, 2048
    atlas = np.full((side, side, 3), 150, np.uint8)
    nose = int(head.landmarks[head.landmark_names.index("ibug_30")])
    corners = head.topology.faces.numpy() == nose
    u, v = uvs[head.topology.uv_faces.numpy()[corners]].mean(0)
    cv2.circle(atlas, (round(u * side), round((1 - v) * side)), 12, (255, 60, 60), -1)
    fitted = fit_skin(atlas, head, maps)
    red = fitted[..., 0].astype(int) - fitted[..., 1] > 60
    column, row = maps.landmark_texels["ibug_30"]
    found = np.argwhere(red)
    assert len(found) > 5 and np.abs(found.mean(0) - (row, column)).max() < 3  # texels, of 256
    assert set(np.unique(fitted[..., 3])) == {0, 255}
    assert not fitted[..., 3][maps.boxes["left_eye"]].any()


def test_light_that_was_painted_in_is_taken_out() -> None:
    maps = surface_maps(Head.default(), 256)
    direction = np.stack([maps.x, maps.y, maps.z], -1)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    skin = maps.part == maps.part_names.index("skin")
    light = np.exp(0.25 * direction[..., 1] + 0.2 * direction[..., 2])
    marked = np.where(maps.masks["lips"] > 0.5, 0.3, 1.0)[..., None]
    albedo = (np.array([0.4, 0.25, 0.18]) * light[..., None] * marked).astype(np.float32)
    left = albedo / baked_light(albedo, direction, maps.cavity, skin)[..., None] / marked
    before, after = np.log(light[skin]).std(), np.log(left[skin][:, 1]).std()
    assert before > 0.1 and after < 0.1 * before
    assert left[skin][:, 0] / left[skin][:, 2] == pytest.approx(0.4 / 0.18, rel=1e-4)  # colour stays


def test_a_tone_is_moved_as_far_as_it_may_be() -> None:
    person = replace(
        sample_skin(3, 1, age=30, sex=0.0, ancestry=(0, 1, 0)), melanin=0.35, haemoglobin=0.4, carotene=0.0
    )
    near = np.array([0.42, 0.27, 0.20])
    lighter = replace(person, melanin=0.0)
    darker = replace(person, melanin=1.0)
    there = [float(typology_angle(near * moved_tone(one, near))) for one in (lighter, person, darker)]
    assert there[0] > there[1] > there[2]
    reached = skin_albedo(*(np.full((1, 1), share, np.float32) for share in (0.35, 0.42 + 0.07 * person.flush)))[0, 0]
    assert there[1] == pytest.approx(float(typology_angle(reached)), abs=0.1)  # what was asked for
    beyond = replace(person, melanin=0.35 + 2 * FURTHEST[0])
    assert typology_angle(near * moved_tone(beyond, near)) == pytest.approx(there[2])  # no further than that


def test_bare_skin_lies_below_hair() -> None:
    maps = surface_maps(Head.default(), 256)
    person = replace(sample_skin(3, 1, age=30, sex=1.0, ancestry=(0, 0, 1)), hair_style="short", greyness=0.0)
    seen = np.full((256, 256, 4), (150, 110, 90, 255), np.uint8)
    plain, laid = paint(maps, person), paint(maps, person, torch.from_numpy(seen))
    assert torch.equal(plain[..., 3:7], laid[..., 3:7])  # gloss, roughness and relief are the person's
    changed = (plain[..., :3] - laid[..., :3]).abs().amax(-1).numpy()
    hair = (maps.part == maps.part_names.index("skin")) & (plain[..., 7].numpy() < 0.02)
    column, row = maps.landmark_texels["ibug_30"].round().astype(int)
    assert changed[row, column] > 0.003
    assert changed[hair].max() < 0.1 * changed[row, column]  # worst seen 0.06: a fiftieth of skin shines through
    for part in ("left_eye", "upper_teeth"):
        assert changed[maps.part == maps.part_names.index(part)].max() == 0


def test_what_names_tell() -> None:
    said = sitter_of_name("middleage_african_male middleage_darkskinned_male_diffuse")
    assert (said.age_group, said.sex, said.ancestry) == ("35-54", "male", "african")
    assert sitter_of_name("young_caucasian_female2").sex == "female"
    assert sitter_of_name("zombie").sex == ""


def test_the_command_imports_and_lists(
    pain3d: Callable[..., Ran], collection: Path, mine: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "assets.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(collection.rglob("*.*")):
            archive.write(path, f"base/{path.relative_to(collection)}")
    first = pain3d("assets", "import", packed, "--json")
    told = json.loads(first.out)
    assert len(told["new"]) == 2 and told["folder"] == str(mine)
    assert {(one["title"], one["licence"]) for one in told["skins"]} == {
        ("young_asian_female", "CC-BY-4.0"), ("old_african_male", "CC0-1.0"),
    }  # fmt: skip
    assert json.loads(pain3d("assets", "import", collection, "--json").out)["new"] == []  # the same pictures
    listed = pain3d("assets")
    assert "old_african_male  CC0-1.0  (55-74 male african)" in listed.out


def test_a_data_set_wears_what_is_nearest(collection: Path, mine: Path, tmp_path: Path) -> None:
    import_assets(collection, "", lambda *_: None)
    bank = skin_bank()
    worn = {
        cell: worn_skin(bank, PlannedIdentity(4, DemographicCell("75-95", *cell), "train"), 0)
        for cell in (("male", "african"), ("male", "asian"), ("female", "caucasian"), ("female", "african"))
    }
    titles = [None if name is None else bank.entry(name).prompt for name in worn.values()]
    assert titles == ["old_african_male", None, "young_asian_female", None]
    config = SynthConfig(identities=6, expressions=1, views=1, size=32, seed=8, device="cpu", assets="skins")
    synthesise(config, tmp_path / "out", quiet=True)
    assert verify(tmp_path / "out", "", 1).findings == []
    rows = [row for path in (tmp_path / "out/data/identities").iterdir() for row in pq.read_table(path).to_pylist()]
    dressed = [row for row in rows if row["texture"]]
    for row in dressed:
        entry = bank.entry(row["texture"])
        assert row["texture_prompt"] == entry.prompt and row["texture_licence"] == entry.licence
        assert row["licence"] == ("CC0-1.0" if entry.licence == "CC0-1.0" else "CC0-1.0 AND CC-BY-4.0")
        assert (entry.sitter.sex, entry.sitter.ancestry == "african") == (row["sex"], row["ancestry"] == "african")
    assert len({row["texture"] for row in dressed}) == 2 < len(dressed) < len(rows)
    for row in rows:
        if not row["texture"]:
            assert (row["sex"] == "male") != (row["ancestry"] == "african")
    assert "photographic, imported by whoever made this" in (tmp_path / "out/README.md").read_text()
    assert "Skin is photographic" in (tmp_path / "out/croissant.json").read_text()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"notes.txt": b"x"}, "holds no skins"),
        ({"skins/a/a.mhmat": b"diffuseTexture ../b.png"}, "not beside it"),
        ({"skins/a/a_diffuse.png": b"x"}, "not a picture"),
        ({"skins/a/a_diffuse.png": picture((1, 2, 3))[:-40]}, "damaged"),
        ({"licence.txt": b"one\ntwo", "skins/a/a_diffuse.png": picture((9, 9, 9))}, "must be one line"),
    ],
)
def test_what_can_not_be_is_one_line(names: dict[str, bytes], said: str, mine: Path, tmp_path: Path) -> None:
    for name, content in names.items():
        (tmp_path / "brought" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "brought" / name).write_bytes(content)
    with pytest.raises(RefusedError, match=said) as refused:
        import_assets(tmp_path / "brought", "", lambda *_: None)
    assert "\n" not in str(refused.value)
    with pytest.raises(RefusedError, match="neither a folder nor a zip"):
        import_assets(tmp_path / "brought" / next(iter(names)), "", lambda *_: None)
    with pytest.raises(RefusedError, match=r"holds none; pain3d assets import"):
        preview(SynthConfig(assets="skins", device="cpu"), tmp_path / "out")
