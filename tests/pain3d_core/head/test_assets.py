"""The head file: what it holds, and what a broken one is told."""

import hashlib
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

import pain3d
from pain3d.head import Head, HeadFileError
from pain3d.head.assets import DEFAULT_HEAD, read_head, write_head


def rewrite(tmp_path: Path, name: str, **changes: object) -> Path:
    """A copy of the default head with some arrays (or `meta` entries) replaced; None drops one."""
    with np.load(DEFAULT_HEAD, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    meta = json.loads(str(arrays["meta"][()]))
    for key, value in changes.items():
        if key in meta:
            meta[key] = value
        elif value is None:
            del arrays[key]
        else:
            arrays[key] = np.asarray(value)
    arrays["meta"] = np.array(json.dumps(meta))
    path = tmp_path / name
    np.savez(path, **arrays)
    return path


def test_packaged_file_is_small_and_as_noticed() -> None:
    assert DEFAULT_HEAD.stat().st_size <= 4 * 2**20
    digest = hashlib.sha256(DEFAULT_HEAD.read_bytes()).hexdigest()
    assert digest in (DEFAULT_HEAD.parent / "NOTICE").read_text()


def test_writing_what_was_read_gives_the_same_bytes(tmp_path: Path) -> None:
    file = read_head(DEFAULT_HEAD)
    fields = {k: v for k, v in file.arrays.items() if not k.startswith("shape_")}
    write_head(tmp_path / "again.npz", file.meta, fields, file.shapes)
    assert (tmp_path / "again.npz").read_bytes() == DEFAULT_HEAD.read_bytes()


def template() -> np.ndarray:
    return np.array(read_head(DEFAULT_HEAD).arrays["template"])


def test_refusals_name_the_file_and_the_array(tmp_path: Path) -> None:
    broken = template()
    broken[5, 1] = np.nan
    cases = {
        "version.npz": ({"format": "pain3d-head/9"}, r"format is 'pain3d-head/9', this version reads 'pain3d-head/1'"),
        "missing.npz": ({"uvs": None}, r"array 'uvs' is missing"),
        "nan.npz": ({"template": broken}, r"template has a number that is not finite"),
        "shape.npz": ({"template": template()[:, :2]}, r"template must be \[V 3\] of kind f, got \[5217, 2\]"),
        "unit.npz": ({"template": template() * 100}, r"template reaches .* m, is it in metres\?"),
        "faces.npz": ({"faces": np.full((10448, 3), 60000, np.uint16)}, r"faces points at 60000, there are only 5217"),
        "weights.npz": ({"skin_weights": np.zeros((5217, 5), np.float32)}, r"skin_weights must sum to 1"),
        "pickle.npz": ({"template": np.array([{"a": 1}], dtype=object)}, r"not a head file"),
    }
    for name, (changes, message) in cases.items():
        path = rewrite(tmp_path, name, **changes)
        with pytest.raises(HeadFileError, match=message) as caught:
            Head.load(path)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_not_a_head_file_at_all(tmp_path: Path) -> None:
    (tmp_path / "page.npz").write_text("<html>please log in</html>")
    (tmp_path / "cut.npz").write_bytes(DEFAULT_HEAD.read_bytes()[:5000])
    for name in ("page.npz", "cut.npz", "absent.npz"):
        with pytest.raises(HeadFileError, match=name):
            Head.load(tmp_path / name)


def test_zip_bomb_is_refused_before_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("template.npy", "w") as entry:
        for _ in range(300):
            entry.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(HeadFileError, match="unpacks to 314572800 bytes"):
        Head.load(path)


def test_the_example_of_the_head_file_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of docs/heads.md: a head of one's own, from the packaged one."""
    page = Path(__file__).parents[3].joinpath("docs/heads.md").read_text()
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "write_head" in block]
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"pain3d": pain3d}
    exec(example, names)
    made = names["head"]
    assert isinstance(made, Head) and made.name == "larger" and made.source.missing == ()
    skin = made.landmarks  # the tongue is laid lower when the head is read
    assert np.allclose(made.template[skin], np.float32(1.05) * template()[skin], atol=1e-6)
