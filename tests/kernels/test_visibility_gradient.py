"""Gradients at outlines, where one part hides another and inside: against differences of a supersampled picture."""

import numpy as np
import pytest

from benchmarks.visibility_gradient import GOALS, METHODS, Case, head_scene, measured, noise, random_scene

SCENES = {"random": lambda: random_scene(0, 192), "head": lambda: head_scene(0, 20.0, 320)}
VERTICES = 12  # of each kind; benchmarks/results/visibility has ten times as many, over more scenes


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SCENES))
def test_gradients_point_where_the_picture_changes(name: str) -> None:
    scene = SCENES[name]()
    case = Case("test", scene, noise(scene.size, 0))
    rows = [one.row for one in measured(case, VERTICES)]
    for kind, goal in GOALS.items():
        cosines = np.array([row.cosines for row in rows if row.kind == kind])
        assert len(cosines) >= 8, kind
        ours, _, none = np.median(cosines, axis=0)
        assert METHODS[0] == "ours" and ours >= goal, (kind, cosines)
        if kind == "silhouette":
            assert none < goal  # what has no gradient of visibility is told from what has one
