"""Knows the window of `pain3d view`: its controls, and how what they say becomes pictures. The door to viser.

The window is served on the loopback interface alone. Whoever opens it, twice or more, has one and the same face.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pain3d.background import BACKGROUNDS
from pain3d.console.refused import one_line
from pain3d.facs.action_units import AU_NUMBERS, FACS_NAMES, SIDES, ActionUnits
from pain3d.facs.pain_score import MAX_INTENSITY, MAX_PSPI, PAIN_AUS
from pain3d.head.identity import ANCESTRIES, MAX_AGE, MIN_AGE, SEXES
from pain3d.light import LIGHTS, key_azimuth
from pain3d.live.look import Look, Person, formula, solution
from pain3d.live.portrait import Portrait, overlaid
from pain3d.live.saving import save_head, save_picture, save_row, save_scene
from pain3d.setting import Pose

if TYPE_CHECKING:
    from viser import GuiEvent, ViserServer

LOOPBACK = "127.0.0.1"
MAX_SEED = 2**31 - 1  # a browser's numbers are exact far beyond this
JPEG_QUALITY = 90
PICTURE_WIDTH, CONTROLS_WIDTH = 620, 400  # px of the two panels
FILL = "<style>img[src^='blob:'] { width: 100%; }</style>"  # a picture is as wide as its panel
NECK = {"yaw": 25.0, "pitch": 15.0, "roll": 12.0}  # degrees to each side: farther, the throat folds
GAZE = {"yaw": 20.0, "pitch": 12.0}
ORBIT = {"yaw": 90.0, "pitch": 30.0}
WAIT = 0.5  # seconds between looks at whether the window is to close


class LiveWindow:
    """A face in a browser window with sliders.

    Args:
        folder: Where the buttons save; made by the first that does.
        port: Of the loopback interface; 0 is any that is free.
        size: Pixels a side of the picture.
        texels: Of the texture, see `Portrait`.
    """

    def __init__(self, folder: Path, port: int, size: int = 384, texels: int = 1024) -> None:
        self.folder = folder
        self.pictures = 0  # made so far
        self._size, self._texels = size, texels
        self._changed, self._closed = threading.Event(), threading.Event()
        self._changed.set()
        self._solution = 0
        self.server = _server(port)
        self.server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        self._controls: dict[str, Any] = {}
        self._add_picture()
        self._add_pain()
        self._add_others()
        self._add_person()
        self._add_setting()
        self._add_saving()
        self._show_sides()

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self.server.get_port()}"

    def look(self) -> Look:
        """What the controls say; a number beyond its slider counts as its end."""
        value = self._value
        units: dict[str, float] = {}
        for number in AU_NUMBERS:
            left = value(f"AU{number}_L")
            right = left if value("linked") else value(f"AU{number}_R")
            if number == 43:
                left, right = round(left), round(right)
            units |= {f"AU{number}_L": left, f"AU{number}_R": right}
        return Look(
            person=Person(value("age"), value("sex"), value("ancestry"), int(value("seed"))),
            au=ActionUnits(**units),
            pose=Pose(*(value(f"neck {axis}") for axis in NECK), *(value(f"gaze {axis}") for axis in GAZE)),
            camera_yaw=value("camera yaw"),
            camera_pitch=value("camera pitch"),
            light=value("light"),
            light_azimuth=value("light azimuth"),
            background=value("background"),
        )

    def serve(self) -> None:
        """Make a picture whenever a control has changed, until `close`. What comes while one is made is one change."""
        portrait = Portrait(self._size, self._texels)
        while not self._closed.is_set():
            if not self._changed.wait(WAIT):
                continue
            self._changed.clear()
            look, strength = self.look(), self._value("heat")
            started = time.perf_counter()
            picture, heat = portrait.take(look.scene(self._size))
            self._picture.image = overlaid(picture, heat, strength)
            seconds = time.perf_counter() - started
            self._said.content = f"{formula(look.au)}  \nlargest shift {heat.max():.1f} mm; {1000 * seconds:.0f} ms"
            self.pictures += 1

    def close(self) -> None:
        """End `serve`, and the server."""
        self._closed.set()
        with _silently():
            self.server.stop()

    def _value(self, name: str) -> Any:
        """Of a control, one that it can have: a browser may send anything."""
        control = self._controls[name]
        value = control.value
        if hasattr(control, "options"):
            return value if value in control.options else control.options[0]
        if hasattr(control, "max"):
            return min(max(control.min, value), control.max)  # of NaN the least
        return value

    def _keep(self, name: str, control: Any) -> None:
        self._controls[name] = control
        control.on_update(lambda _: self._changed.set())

    def _slider(self, name: str, label: str, least: float, most: float, at: float, step: float, **more: Any) -> None:
        self._keep(name, self.server.gui.add_slider(label, least, most, step, at, **more))

    def _add_picture(self) -> None:
        gui = self.server.gui
        panel = gui.add_panel()
        with panel.add_tab("Face"):
            gui.add_html(FILL)
            blank = np.full((self._size, self._size, 3), 64, np.uint8)
            self._picture = gui.add_image(blank, format="jpeg", jpeg_quality=JPEG_QUALITY)
            self._said = gui.add_markdown("")
            self._slider("heat", "heat map", 0.0, 1.0, 0.0, 0.05, hint="0 hides it; white is 10 mm from neutral")
        panel.dock_left()
        panel.set_width(PICTURE_WIDTH)
        gui.main_panel.dock_right()
        gui.main_panel.set_width(CONTROLS_WIDTH)

    def _add_pain(self) -> None:
        gui = self.server.gui
        with gui.add_folder("Pain"):
            target = gui.add_slider(
                "PSPI", 0, MAX_PSPI, 1, 0, hint="sets the six units below to a face with this score"
            )
            another = gui.add_button("another solution")
            self._keep("linked", gui.add_checkbox("sides linked", True))
            self._controls["linked"].on_update(lambda _: self._show_sides())
            self._add_units(PAIN_AUS)

        def solve(number: int) -> None:
            self._solution = number
            units = solution(int(min(max(target.value, 0), MAX_PSPI)), number, int(self._value("seed")))
            with self.server.atomic():
                for unit, intensity in units.items():
                    for side in SIDES:
                        self._controls[f"AU{unit}_{side}"].value = float(intensity)
            self._changed.set()

        target.on_update(lambda _: solve(0))
        another.on_click(lambda _: solve(self._solution + 1))

    def _add_others(self) -> None:
        gui = self.server.gui
        with gui.add_folder("Other action units", expand_by_default=False):
            self._add_units(tuple(number for number in AU_NUMBERS if number not in PAIN_AUS))
            clear = gui.add_button("all to neutral")

        @clear.on_click
        def _(_: object) -> None:
            with self.server.atomic():
                for number in AU_NUMBERS:
                    for side in SIDES:
                        self._controls[f"AU{number}_{side}"].value = 0.0
            self._changed.set()

    def _add_units(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            most, step = (1.0, 1.0) if number == 43 else (float(MAX_INTENSITY), 0.1)
            for side in SIDES:
                self._slider(f"AU{number}_{side}", "", 0.0, most, 0.0, step)

    def _add_person(self) -> None:
        gui = self.server.gui
        with gui.add_folder("Person", expand_by_default=False):
            who = Person()
            self._slider("age", "age", MIN_AGE, MAX_AGE, who.age, 1.0)
            self._keep("sex", gui.add_dropdown("sex", SEXES, initial_value=who.sex))
            self._keep("ancestry", gui.add_dropdown("ancestry", ANCESTRIES, initial_value=who.ancestry))
            self._keep("seed", gui.add_number("seed", who.seed, min=0, max=MAX_SEED, step=1))

    def _add_setting(self) -> None:
        gui = self.server.gui
        with gui.add_folder("Pose", expand_by_default=False):
            for what, reaches in (("neck", NECK), ("gaze", GAZE), ("camera", ORBIT)):
                for axis, reach in reaches.items():
                    self._slider(f"{what} {axis}", f"{what} {axis}", -reach, reach, 0.0, 1.0)
        with gui.add_folder("Light", expand_by_default=False):
            self._keep("light", gui.add_dropdown("light", LIGHTS, initial_value=LIGHTS[0]))
            self._slider("light azimuth", "azimuth", -90.0, 90.0, key_azimuth(LIGHTS[0]), 1.0)
            self._keep("background", gui.add_dropdown("background", BACKGROUNDS, initial_value="gradient"))

    def _add_saving(self) -> None:
        gui = self.server.gui
        savers: dict[str, Callable[[], Path]] = {
            "save scene": lambda: save_scene(self.folder, self.look()),
            "save picture": lambda: save_picture(self.folder, self.look(), self._value("heat")),
            "save GLB": lambda: save_head(self.folder, self.look()),
            "save row": lambda: save_row(self.folder, self.look()),
        }
        with gui.add_folder("Save"):
            for label, saver in savers.items():
                gui.add_button(label).on_click(self._saving(label, saver))

    def _saving(self, label: str, saver: Callable[[], Path]) -> Callable[[GuiEvent[Any]], None]:
        def save(event: GuiEvent[Any]) -> None:
            try:
                said, fine = str(saver()), True
            except (OSError, ValueError) as error:
                said, fine = one_line(error), False
            if event.client is not None:
                event.client.add_notification(label, said, color="green" if fine else "red")

        return save

    def _show_sides(self) -> None:
        """One slider a unit where sides are linked, two where they are apart; the right then starts as the left."""
        linked = self._controls["linked"].value
        with self.server.atomic():
            for number in AU_NUMBERS:
                left, right = (self._controls[f"AU{number}_{side}"] for side in SIDES)
                name = f"AU{number} {FACS_NAMES[number]}"
                left.label, right.label = (name, name) if linked else (f"{name}, left", f"AU{number} right")
                right.visible, right.value = not linked, left.value
        self._changed.set()


def _server(port: int) -> ViserServer:
    """A server that stays at home: viser's own can be told by any page to open a tunnel to a public address."""
    import viser

    class Local(viser.ViserServer):
        def request_share_url(self, verbose: bool = True) -> str | None:
            """Refuse: there is no such address."""
            return None

    with _silently():
        return Local(LOOPBACK, port, label="pain3d", verbose=False)


def _silently() -> contextlib.AbstractContextManager[object]:
    """Within it nothing is printed: viser says on stdout that it begins and ends."""
    return contextlib.redirect_stdout(io.StringIO())
