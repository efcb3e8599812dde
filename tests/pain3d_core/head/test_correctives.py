"""Flesh that the source leaves flat moves by millimetres, where the FACS manual says, and tongue and lids lie right."""

import torch

from pain3d.facs import ActionUnits
from pain3d.head import Head

HEAD = Head.default()
LANDMARK = dict(zip(HEAD.landmark_names, HEAD.landmarks.tolist(), strict=True))


def moved(**units: float) -> torch.Tensor:
    """Millimetres [V, 3] against neutral."""
    vertices = HEAD(None, [ActionUnits(), ActionUnits(**units)]).vertices
    return 1000 * (vertices[1] - vertices[0])


def at(x: float, y: float) -> int:
    """The foremost skin vertex near (x, y) mm."""
    points = 1000 * HEAD.template
    near = ((points[:, :2] - torch.tensor([x, y])) ** 2).sum(1) + 1e6 * (points[:, 2] < 40)
    near = near + 1e6 * (HEAD.topology.vertex_parts != HEAD.topology.part_names.index("skin"))
    return int(near.argmin())


def test_brows_come_down_and_together() -> None:
    inner = moved(AU4=5)[LANDMARK["ibug_22"]]
    assert inner[1] < -4 and inner[0] < -2  # seen -6.2 down, -4.6 towards the midline


def test_cheek_apple_rises_and_stands_out() -> None:
    apple = moved(AU6=5)[at(38, -3)]
    assert apple[1] > 2 and apple[2] > 1.5


def test_nose_widens_and_shortens() -> None:
    change = moved(AU9=5)
    wing, tip = change[at(16, -22)], change[LANDMARK["ibug_30"]]
    assert wing[0] > 0.5 and wing[1] > 2
    assert tip[1] > 0.5
    assert change[at(7, 18)][2] > 0.8  # skin bunches at the root


def test_closed_lids_meet_above_the_open_lower_lid() -> None:
    lower = [LANDMARK["ibug_46"], LANDMARK["ibug_47"]]
    assert (moved(AU43=1)[lower, 1] > 0.8).all()


def test_tongue_lies_below_the_upper_teeth() -> None:
    points = HEAD(None, ActionUnits(AU27=5)).vertices[0]
    names = HEAD.topology.part_names
    tongue = points[HEAD.topology.vertex_parts == names.index("tongue")]
    upper = points[HEAD.topology.vertex_parts == names.index("upper_teeth")]
    front = tongue[:, 2] > 0.05
    assert tongue[front, 1].max() < upper[:, 1].min()  # seen 8 mm lower: the throat can be seen above it


def test_lower_lid_and_upper_lip_go_far() -> None:
    assert moved(AU7=5)[LANDMARK["ibug_46"], 1] > 3.6  # seen 4.1 of an opening of 8.9
    assert moved(AU10=5)[LANDMARK["ibug_51"], 1] > 4.1  # seen 4.6


def test_a_lid_tightener_comes_from_above_too() -> None:
    lids = [[LANDMARK[f"ibug_{n}"] for n in pair] for pair in ((43, 44), (47, 46))]
    change = moved(AU7=5)[:, 1]
    assert (change[lids[0]] < -1.2).all()  # seen 1.4 and 1.6 down
    rest = 1000 * (HEAD.template[lids[0], 1] - HEAD.template[lids[1], 1])
    assert (rest + change[lids[0]] - change[lids[1]] > 1.5).all()  # and the eye stays open


def test_tightened_lids_that_are_shut_meet_higher_and_stay_shut() -> None:
    upper, lower = ([LANDMARK[f"ibug_{n}"] for n in pair] for pair in ((43, 44), (47, 46)))
    shut, squeezed = moved(AU43=1), moved(AU43=1, AU7=5)
    assert ((squeezed - shut)[upper + lower, 1] > 3.2).all()  # seen 4.0 to 5.4
    standing = 1000 * HEAD.template + squeezed
    assert (standing[lower, 1] - standing[upper, 1] > 2).all()  # the edges lap over: seen 2.4 and 2.9
    assert (standing[upper, 2] - standing[lower, 2] > 0.3).all()  # the upper one in front: seen .5; of a blink behind
