"""`pain3d doctor` says what is there and what is not, and looks at a head without trusting it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pain3d.doctor import findings


def test_it_says_what_is_installed(pain3d: Callable[..., object]) -> None:
    done = pain3d("doctor", "--json")
    said = json.loads(done.out)
    assert done.code == 0 and said["ok"] and set(said["needed"]) == set(findings.NEEDED)
    assert said["heads"] == [{"head": "head_cc0.npz", "licence": "CC0 1.0", "missing": ""}]
    page = pain3d("doctor").out
    assert all(word in page for word in ("torch", "device", "optional", "faster", "CC0 1.0"))


def test_what_is_missing_is_told_with_its_extra(pain3d: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        findings, "OPTIONAL", {**findings.OPTIONAL, "no_such_module": ("nothing", "train", "this test")}
    )
    done = pain3d("doctor")
    assert done.code == 0 and 'missing      this test; pip install "pain3d[train]"' in done.out
    monkeypatch.setattr(findings, "NEEDED", (*findings.NEEDED, "no-such-distribution"))
    assert pain3d("doctor").code == 1


def test_a_head_of_ones_own_is_told_with_its_licence(pain3d: Callable[..., object], tmp_path: Path) -> None:
    mapping = {"name": "m", "neutral": "n.obj", "metres": 1, "licence": "CC BY 4.0", "credit": "me", "units": {}}
    (tmp_path / "pain3d-head.json").write_text(json.dumps(mapping))
    done = pain3d("doctor", "--head", tmp_path)
    assert done.code == 0 and "OBJ blendshapes: CC BY 4.0; missing: skin, hair and wrinkles" in done.out
    (tmp_path / "page.pkl").write_text("<html>log in</html>")
    for path, words in ((tmp_path / "page.pkl", "a web page"), (tmp_path / "none", "no such head")):
        done = pain3d("doctor", "--head", path)
        assert done.code == 2 and words in done.err and done.err.count("\n") == 1


def test_what_would_be_faster() -> None:
    assert findings._faster(True, 8, 8, True) == []
    assert "triton" in findings._faster(True, 8, 8, False)[0]
    assert "OMP_NUM_THREADS=2" in findings._faster(False, 2, 4, True)[1]
