"""Knows what a data set looks like on disk: its subsets, and the name, type, unit and meaning of every column.

The writer, ``verify`` and training all read these tables, and meet nowhere else. pyarrow is imported only inside the
functions that need it, so that ``import pain3d`` stays light. Longer than others, because each column has its line.

A column's *kind* is one of ``string bool int32 int64 float32 float64 image``, or a kind in brackets for a list:
``[[float32]]`` is a list of points. An ``image`` is the struct of Hugging Face's ``Image`` feature, ``{bytes, path}``,
with the encoded file in ``bytes``; pandas, polars and duckdb see exactly that struct.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pain3d.facs.action_units import AU_COLUMNS, AU_NUMBERS, FACS_NAMES
from pain3d.landmarks import GROUPS

if TYPE_CHECKING:
    import pyarrow

FORMAT_VERSION: Final = 1  # raised when a reader of an older data set would be wrong about a column
SUBSETS: Final = ("frames", "pairs", "expressions", "identities")
SPLITS: Final = ("train", "validation", "test")
LICENCE: Final = "CC0-1.0"  # the head, its shapes and the procedural skin are CC0, so are the pictures made of them
UNKNOWN_LICENCE: Final = "unknown"  # of a painter whose folder holds no card
HEATMAP_UNIT_MM: Final = 0.1  # one grey level of a heat map whose skin moves less than 25.4 mm
# A jaw drop (AU27 at 4 or 5) moves the chin by up to 40.7 mm: then the unit is doubled until all of it fits.
HEATMAP_UNITS_MM: Final = tuple(HEATMAP_UNIT_MM * 2**doubled for doubled in range(4))
CLIPPED_LEVEL: Final = 255  # so no heat map of ours reaches it; in data sets from before it is 25.5 mm or more
ROW_GROUP_ROWS: Final = 128  # at most: one row group of images is then some 10 MB, what a reader holds at once
BARE_GROUP_ROWS: Final = 1024  # the same without pictures: 3 MB of scenes, of which a reader wants one person's


class Column(NamedTuple):
    """One column of a subset."""

    name: str
    kind: str
    meaning: str
    unit: str = ""


def _au_columns() -> tuple[Column, ...]:
    both: list[Column] = []
    sides: list[Column] = []
    for number, name in zip(AU_NUMBERS, AU_COLUMNS, strict=True):
        unit = "0/1" if number == 43 else "FACS intensity 0-5"
        words = FACS_NAMES[number]
        both.append(Column(name, "float32", f"{words}, the larger side", unit))
        sides.append(Column(f"{name}_L", "float32", f"{words}, the person's left", unit))
        sides.append(Column(f"{name}_R", "float32", f"{words}, the person's right", unit))
    score = Column("PSPI", "float32", "AU04 + max(AU06, AU07) + max(AU09, AU10) + AU43", "0-16")
    return (*both, score, *sides)


def row_licence(*painters: str) -> str:
    """Licence of a row with a picture, of the licences of those who painted in it; empty is nobody.

    A painter under another licence has its part in the picture: CC0 alone would be untrue. What a licence of weights
    says of pictures is the reader's to judge.
    """
    others = [licence for licence in dict.fromkeys(painters) if licence not in ("", LICENCE)]
    if UNKNOWN_LICENCE in others:
        return UNKNOWN_LICENCE
    return " AND ".join([LICENCE, *(f"({licence})" if " OR " in licence else licence for licence in others)])


def sample_id(identity_id: int, expression_id: int, view_id: int | None = None) -> str:
    """Name a row: ``id000003_e02_v1``; without a view the name of an expression, ``id000003_e02``.

    Expression 0 is the neutral one. Names of larger numbers grow longer and stay unique.
    """
    name = f"id{identity_id:06d}_e{expression_id:02d}"
    return name if view_id is None else f"{name}_v{view_id}"


def picture_name(name: str, column: str) -> str:
    """Name of the file in a column of pictures, for the sample_id of a row whose picture it is."""
    if column == "image":
        return f"{name}.jpg"
    return f"{name}.{column}.{'jpg' if column == 'frontal_heatmap' else 'png'}"


_IDENTITY_KEY = (
    Column("identity_id", "int32", "number of the identity, from 0; an identity lies in one split only"),
    Column("split", "string", "train, validation or test"),
)
_FRAME_KEY = (
    Column("sample_id", "string", "unique name of the row"),
    *_IDENTITY_KEY,
    Column("expression_id", "int32", "0 is the neutral expression, 1 ... are pain expressions"),
)
_VIEW = Column("view_id", "int32", "number of the view, from 0; with fixed cameras one camera for every expression")
_IMAGE = Column("image", "image", "the picture, JPEG, RGB, 4:2:0")
_HEATMAP = Column(
    "heatmap", "image", "how far each visible point moved from neutral; 8-bit grey PNG", "heatmap_unit_mm"
)
_HEATMAP_UNIT = Column(
    "heatmap_unit_mm",
    "float32",
    "millimetres of one grey level of heatmap: 0.1, doubled until nothing is clipped",
    "mm",
)
_NEUTRAL = Column("neutral", "bool", "true for expression 0, whose action units are all 0")
_DEMOGRAPHICS = (
    Column("age_group", "string", "generator axis, not a claim about a person"),
    Column("age", "float32", "generator axis", "years"),
    Column("sex", "string", "generator axis: female or male"),
    Column("ancestry", "string", "generator axis: african, asian or caucasian"),
    Column("skin_ita_degrees", "float32", "individual typology angle, measured on the painted albedo", "degrees"),
)
_DISTORTION = Column(
    "camera_distortion", "float32", "k1 of the lens, of OpenCV's distCoeffs (k1, 0, 0, 0, 0); 0 does not distort"
)
_CAMERA = (
    Column("camera_K", "[[float32]]", "3 x 3 intrinsics; pixel centres at +0.5", "px"),
    _DISTORTION,
    Column("camera_R", "[[float32]]", "3 x 3 rotation, world to view"),
    Column("camera_t", "[float32]", "translation, world to view", "m"),
    Column("camera_fov_degrees", "float32", "vertical field of view", "degrees"),
    Column("focal_length_mm", "float32", "full-frame equivalent: the picture is as high as a frame of 24 mm", "mm"),
    Column("camera_convention", "string", "axes of camera_K, camera_R and camera_t, in words"),
    Column("yaw_degrees", "float32", "of the head as the camera sees it; positive: turned to its own left", "degrees"),
    Column("pitch_degrees", "float32", "of the head as the camera sees it; positive: looks down", "degrees"),
    Column("roll_degrees", "float32", "of the head as the camera sees it; positive: tips to its own right", "degrees"),
    Column("gaze_yaw_degrees", "float32", "of the eyes in the head; positive: to its own left", "degrees"),
    Column("gaze_pitch_degrees", "float32", "of the eyes in the head; positive: down", "degrees"),
)
_WORN = Column(
    "worn",
    "string",
    "what is worn or lain in, of bed,gown,cannula,mask,glasses,cap,scarf; empty is none; labels are of the face below",
)
_EFFECTS = Column(
    "camera_effects",
    "string",
    "what else the camera does, of shake,defocus,infrared; empty is none; labels are those of the plain picture",
)
_SURROUNDINGS = (
    Column("light", "string", "light preset, or the place that lights the person; infrared: at night, the camera's"),
    Column("light_azimuth_degrees", "float32", "turn of the preset or place", "degrees"),
    Column("light_elevation_degrees", "float32", "turn of the preset", "degrees"),
    Column("light_intensity", "float32", "factor on the whole light, which is metered: 1 is the same for every preset"),
    Column("light_key_share", "float32", "factor on the key lamp"),
    Column("light_temperature_kelvin", "float32", "tint of the key lamp; 6504 leaves it, less is warmer", "K"),
    Column("light_size_degrees", "float32", "seen of the key lamp: larger ones cast softer shadows, 0 none", "degrees"),
    Column("background", "string", "kind of background; environment: the place that lights the person"),
    Column(
        "background_blur",
        "float32",
        "radius of its disc of confusion, share of the picture's height; a painter has its own",
    ),
    Column("exposure_stops", "float32", "on light and background; 0 is as metered", "stops"),
    Column("white_balance_kelvin", "float32", "colour of white in the picture; 6504 is neutral, less is warmer", "K"),
    Column("iso", "float32", "speed of the sensor, which decides the noise; 0 is none"),
    Column("mtf50", "float32", "frequency at which lens and sensor leave half of the contrast; 0 is no blur", "1/px"),
    Column("contrast", "float32", "slope of the tone curve at middle grey; 1 is plain sRGB"),
    Column("saturation", "float32", "factor on how far colours are from grey; 1 leaves them"),
    Column("jpeg_quality", "int32", "of image", "1-100"),
    Column("wrinkles", "bool", "whether the skin wrinkles with expression and age, or the geometry alone shows them"),
    _WORN,
    _EFFECTS,
    Column("hair", "string", "grown as ribbons, or painted on a shell"),
)
_ORDER = ", ".join(f"{group.first}-{group.first + group.points - 1} {group.name}" for group in GROUPS)
_GEOMETRY = (
    Column("landmarks_2d", "[[float32]]", f"landmarks in the image, x right, y down; {_ORDER}: the person's own", "px"),
    Column("landmarks_3d", "[[float32]]", "the same landmarks in the world", "m"),
    Column("bbox", "[float32]", "x0 y0 x1 y1 around the facial landmarks; may reach outside the image", "px"),
    Column("coverage", "float32", "share of the pixels that head and hair cover", "0-1"),
)
# Of a pair, which has the image's and, under names of their own, those of neutral_image.
VIEW_COLUMNS: Final = tuple(c.name for c in (*_CAMERA, *_GEOMETRY) if c.name != "camera_convention")
_OF_NEUTRAL = tuple(
    column._replace(name=f"neutral_{column.name}", meaning=f"of neutral_image: {column.meaning}")
    for column in (*_CAMERA, *_GEOMETRY)
    if column.name in VIEW_COLUMNS
)
LATER_IN_PAIRS: Final = tuple(column.name for column in (*_CAMERA, *_GEOMETRY, *_OF_NEUTRAL))
UNSTORED_NUMBERS: Final = {
    "pairs": tuple(f"{of}{name}" for of in ("", "neutral_") for name in ("landmarks_2d", "landmarks_3d", "bbox")),
    "identities": ("neutral_vertices",),
}  # of subsets, see `unstored_columns`
_PROVENANCE = (
    Column("seed", "int64", "seed of the run; with identity_id it keys the skin, with view_id the background too"),
    Column("config_hash", "string", "SHA-256 of the configuration that made the row"),
    Column("pain3d_version", "string", "version of pain3d"),
    Column("code_version", "string", "SHA-256 over the sources that made the row, 12 digits"),
    Column("licence", "string", "of all that made the row, SPDX; unknown where a painter's licence is"),
    Column("synthetic", "bool", "always true: no person was photographed"),
)


def _by_painter(purpose: str, painter: str, model: str, seed: str, scheduler: str) -> tuple[Column, ...]:
    """The columns that say who painted something, what for, and how."""
    return (
        Column(f"{purpose}_model", "string", model),
        Column(f"{purpose}_model_hash", "string", f"SHA-256 of {painter}'s weights and settings"),
        Column(f"{purpose}_licence", "string", f"licence of {painter}'s weights, SPDX, or unknown"),
        Column(f"{purpose}_prompt", "string", f"what {painter} was asked for"),
        Column(f"{purpose}_seed", "int64", seed),
        Column(f"{purpose}_scheduler", "string", f"{painter}'s sampler, {scheduler}"),
    )


# In every subset that shows skin; of procedural skin the texts are empty and the seed is -1: pandas and datasets turn a
# column of whole numbers with nulls into one of floats.
_TEXTURE = (
    Column("texture", "string", "name of the painted texture, folder textures/ab/ab...; empty: the skin is procedural"),
    *_by_painter(
        "texture",
        "the painter",
        "who painted the texture",
        "of the painting; -1: the skin is procedural",
        "its steps and scales",
    ),
)
TEXTURE_COLUMNS: Final = tuple(column.name for column in _TEXTURE)
# Of a procedural background the texts are empty and the seed is -1.
_BEHIND = _by_painter(
    "background",
    "that painter",
    "who painted what stands behind the head; empty: it is procedural",
    "of the painting behind; -1: the background is procedural",
    "its steps and scales",
)
BACKGROUND_COLUMNS: Final = tuple(column.name for column in _BEHIND)
# Of a picture that nobody painted over the texts are empty and the seed is -1.
_REFINED = (
    Column("refined", "bool", "whether the image was painted over, and its face stayed where the labels say"),
    *_by_painter(
        "refine",
        "that painter",
        "who painted over it",
        "of the painting over; -1: the image is as it was rendered",
        "its steps and scales, and the strength",
    ),
)
_NEUTRAL_REFINED = Column("neutral_refined", "bool", "whether neutral_image was painted over; the licence counts it")
REFINED_COLUMNS: Final = (*(column.name for column in _REFINED), _NEUTRAL_REFINED.name)
_SCENE = Column(
    "scene",
    "string",
    "everything our render is made of, JSON: pain3d.Scene.from_json(scene); not what is painted behind and over it",
)

DISTORTION_COLUMNS: Final = (_DISTORTION.name, f"neutral_{_DISTORTION.name}")
HAIR_COLUMNS: Final = ("hair",)
WORN_COLUMNS: Final = (_WORN.name,)
EFFECT_COLUMNS: Final = (_EFFECTS.name,)
LENS_COLUMNS: Final = ("light_size_degrees", "mtf50", "contrast", "saturation")
COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "frames": (
        *_FRAME_KEY,
        _VIEW,
        _IMAGE,
        _HEATMAP,
        _HEATMAP_UNIT,
        *_au_columns(),
        _NEUTRAL,
        *_DEMOGRAPHICS,
        *_CAMERA,
        *_SURROUNDINGS,
        *_GEOMETRY,
        *_TEXTURE,
        *_BEHIND,
        *_REFINED,
        *_PROVENANCE,
        _SCENE,
    ),
    "pairs": (
        *_FRAME_KEY,
        _VIEW,
        _IMAGE,
        Column("neutral_image", "image", "the neutral expression of this identity in the same view"),
        _HEATMAP,
        _HEATMAP_UNIT,
        *_au_columns(),
        *_DEMOGRAPHICS,
        *_CAMERA,
        *_GEOMETRY,
        *_OF_NEUTRAL,
        *_TEXTURE,
        *_BEHIND,
        *_REFINED,
        _NEUTRAL_REFINED,
        *_PROVENANCE,
    ),
    "expressions": (
        *_FRAME_KEY,
        Column("frontal_heatmap", "image", "the displacement seen from the front, hot ramp times shading; JPEG"),
        *_au_columns(),
        _NEUTRAL,
        *_DEMOGRAPHICS,
        *_PROVENANCE,
    ),
    "identities": (
        *_IDENTITY_KEY,
        Column("image", "image", "the neutral expression, in the view nearest the front; JPEG"),
        *_DEMOGRAPHICS,
        Column("sex_share", "float32", "0 female shapes to 1 male shapes"),
        Column("ancestry_shares", "[float32]", "mixture of the african, asian and caucasian shapes; sums to 1"),
        Column("muscle", "float32", "0.5 is average", "0-1"),
        Column("weight", "float32", "0.5 is average", "0-1"),
        Column("local_shapes", "[float32]", "coefficients of the head's local shapes", "standard deviations"),
        Column("neutral_vertices", "[[float32]]", "the neutral head in its rest pose", "m"),
        *_TEXTURE,
        *_BEHIND,
        *_REFINED,
        *_PROVENANCE,
        Column("scene", "string", "scene of the image, JSON"),
    ),
}
"""The columns of every subset, in their order on disk; frames may have `DENSE_COLUMNS` behind them."""

DENSE: Final = ("", "depth", "parts", "depth,parts")  # what `pain3d synth --dense` may be
DEPTH_UNIT_MM: Final = 0.1  # one level; 65,535 of them are 6.5 m, and no camera stands 4 m away
PARTS: Final = (
    "skin", "mouth", "neck", "left_eye", "right_eye", "upper_teeth", "lower_teeth", "tongue", "lashes",
)  # fmt: skip
NO_PART: Final = 255
DENSE_COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "depth": (
        Column("depth", "image", "distance along the view axis; 16-bit grey PNG, 0 is background", "depth_unit_mm"),
        Column("depth_unit_mm", "float32", "millimetres of one level of depth", "mm"),
    ),
    "parts": (
        Column(
            "parts",
            "image",
            "part of the head that a pixel sees; 8-bit grey PNG: "
            f"{', '.join(f'{number} {name}' for number, name in enumerate(PARTS))}, {NO_PART} background",
        ),
    ),
}
"""The columns of frames that are made when they are asked for."""


def dense_names(dense: str) -> tuple[str, ...]:
    """Which of ``DENSE_COLUMNS`` one of ``DENSE`` asks for."""
    return tuple(filter(None, dense.split(",")))


def columns_of(subset: str, dense: str = "") -> tuple[Column, ...]:
    """The columns of a subset of a data set that was made with ``--dense`` so."""
    asked = dense_names(dense) if subset == "frames" else ()
    return (*COLUMNS[subset], *(column for name in asked for column in DENSE_COLUMNS[name]))


def columns_of_kind(subset: str, kind: str) -> tuple[str, ...]:
    """Names of a subset's columns of one kind, without those of ``--dense``."""
    return tuple(column.name for column in COLUMNS[subset] if column.kind == kind)


def has_pictures(resolved: Mapping[str, Any]) -> bool:
    """Whether the data set of a resolved configuration stores its pictures; else they are rendered when it is read."""
    return resolved.get("pictures") is not False


def unstored_columns(subset: str, dense: str = "") -> tuple[str, ...]:
    """The columns of a subset that are null in a data set without pictures.

    Its pictures; in pairs also the points that the frames of the same names have, and neutral vertices, which
    `pain3d.Head` makes of the identity's shapes: together they would be more than all the rest.
    """
    pictures = tuple(column.name for column in columns_of(subset, dense) if column.kind == "image")
    return (*pictures, *UNSTORED_NUMBERS.get(subset, ()))


@cache
def arrow_schema(subset: str, dense: str = "") -> pyarrow.Schema:
    """The Arrow schema of a subset, with the Hugging Face features in its metadata.

    Args:
        subset: One of ``SUBSETS``.
        dense: One of ``DENSE``.

    Returns:
        A schema whose metadata key ``huggingface`` makes ``datasets`` decode the images without a loading script. A
        field's own metadata say its ``description`` and, where it has one, its ``unit``.
    """
    import pyarrow as pa

    metadata = {"huggingface": json.dumps({"info": {"features": features(subset, dense)}})}
    fields = [
        pa.field(
            column.name,
            _arrow_type(column.kind),
            metadata={"description": column.meaning} | ({"unit": column.unit} if column.unit else {}),
        )
        for column in columns_of(subset, dense)
    ]
    return pa.schema(fields, metadata)


def features(subset: str, dense: str = "") -> dict[str, Any]:
    """The Hugging Face features of a subset as JSON; ``Sequence`` is the word both old and new ``datasets`` read."""
    return {column.name: _feature(column.kind) for column in columns_of(subset, dense)}


def _arrow_type(kind: str) -> Any:
    import pyarrow as pa

    if kind.startswith("["):
        return pa.list_(_arrow_type(kind[1:-1]))
    if kind == "image":
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return {"string": pa.string(), "bool": pa.bool_()}.get(kind) or getattr(pa, kind)()


def _feature(kind: str) -> dict[str, Any]:
    if kind.startswith("["):
        return {"feature": _feature(kind[1:-1]), "_type": "Sequence"}
    return {"_type": "Image"} if kind == "image" else {"dtype": kind, "_type": "Value"}
