"""Knows what a data set says of itself in the words of Croissant's vocabulary of responsible AI (RAI 1.0).

Each sentence is true of the configuration at hand; RESPONSIBLE_USE.md says the same of all data sets, at length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pain3d.facs.pain_score import CLINICAL_ZERO
from pain3d.pipeline.card import ImagesPainted, Painter
from pain3d.records import has_pictures

RAI: Final = "http://mlcommons.org/croissant/RAI/1.0"
PREFIX: Final = "rai:"
RATES: Final = "rates of any kind do not carry over to a ward"
DRAWN: Final = {
    "uniform": "Every PSPI from 0 to 16 is drawn equally often, and combinations of action units without regard to how "
    f"often they occur in people: {RATES}",
    "independent": "Each action unit of PSPI is drawn by itself, without regard to how often they occur together in "
    f"people: {RATES}",
    "clinical": f"{CLINICAL_ZERO:.0%} of drawn expressions have PSPI 0, higher scores are ever rarer. The share is one "
    f"archive's, the decay is pain3d's choice: {RATES}",
}  # by the law of a configuration
SHOWN_IF_ASKED: Final = {
    "glasses_share": "glasses",
    "clinical_share": "hospital gowns, nasal cannulas, oxygen masks, surgical caps",
    "scarf_share": "headscarves",
    "bedside_share": "people who lie in bed",
    "infrared_share": "cameras that see at night",
}


def rai_fields(
    resolved: Mapping[str, Any], images: int, painters: Iterable[Painter], painted: ImagesPainted
) -> dict[str, str | list[str]]:
    """The fields of RAI, with their prefix; a list where the vocabulary allows several values.

    Args:
        resolved: The resolved configuration.
        images: How many frames there are.
        painters: Whose textures there are.
        painted: In how many images somebody painted.
    """
    models = sorted({painter.model for painter in painters if painter.model})
    worn = bool(models) and resolved["texture"] == "assets"
    learned = bool(painted.behind or painted.refined or (models and not worn))
    said: dict[str, str | list[str]] = {
        "dataCollection": " ".join(
            [
                f"Nothing was collected: the pictures are rendered by pain3d {resolved['pain3d_version']} from a "
                "parametric 3D head made of public-domain data. No person was photographed.",
                *_others(resolved, images, models, painted),
            ]
        ),
        "dataCollectionType": ["Others", "Synthetic: rendered by software"],
        "dataCollectionRawData": "The head and its shapes, CC0; LICENSES/NOTICE-head.txt names their sources.",
        "dataCollectionMissingData": _missing(resolved),
        "dataPreprocessingProtocol": _preprocessing(resolved, painted),
        "dataAnnotationProtocol": "Nobody annotated: the labels are the parameters that made the picture. Action units "
        "are FACS intensities (Ekman, Friesen and Hager 2002), 0 for absent and 1 to 5 for A to E, AU43 0 or 1, left "
        "and right apart. PSPI = AU04 + max(AU06, AU07) + max(AU09, AU10) + AU43, 0 to 16 (Prkachin and Solomon 2008). "
        "Landmarks are points of the mesh, seen through the camera; heat maps are how far it moved from neutral, in "
        "millimetres.",
        "annotationsPerItem": "0 by people; one set of labels by the generator",
        "machineAnnotationTools": [f"pain3d {resolved['pain3d_version']}, code {resolved['code_version']}"],
        "dataUseCases": [
            "Research and teaching: methods for facial action units, pain expression, rendering, measuring bias",
            "Training before real, consented, ethically approved data; testing must be on such data",
        ],
        "dataLimitations": _limitations(resolved),
        "dataBiases": _biases(resolved, learned),
        "dataSocialImpact": "Pain assessment by picture is for people who cannot speak for themselves, and recordings "
        "of real pain are few and locked away: synthetic faces let methods be built, and some biases be measured, "
        "without anybody's picture. What is trusted without a trial on real people can do harm: a missed pain and a "
        "false alarm harm different people in different ways.",
        "personalSensitiveInformation": [
            "None of a real person: all people are generated, and a likeness is chance",
            "Age, sex and ancestry are axes of the generator: which shapes and skin were mixed, not what a person is",
            *(["What painted parts took over from what their models learned is not known here"] if learned else []),
            *(["Whose skin the imported textures show is for their collections to tell"] if worn else []),
        ],
        "dataReleaseMaintenancePlan": "The data set is made once and stays as it is: the same configuration, versions "
        "and class of device make the same bytes, manifest.json has the SHA-256 of every file, and pain3d verify "
        "compares them. Who publishes it says who maintains it.",
    }
    return {PREFIX + name: value for name, value in said.items()}


def _others(resolved: Mapping[str, Any], images: int, models: list[str], painted: ImagesPainted) -> list[str]:
    """Who or what had a part in the pictures beside the renderer, a sentence each."""
    said = []
    if models and resolved["texture"] == "assets":
        said.append("Skin is photographic, of textures that whoever made the data set imported.")
    elif models:
        said.append(f"Skin, hair and clothes were painted by {', '.join(models)}.")
    if painted.behind:
        said.append(
            f"Backgrounds of {painted.behind:,} of {images:,} images were painted by {resolved['background_model']}."
        )
    if painted.refined:
        said.append(f"{painted.refined:,} of {images:,} images were painted over by {resolved['refine_model']}.")
    if "environments" in resolved and resolved["environment_share"]:
        licence = resolved["environments_licence"]
        said.append(
            f"Places are panoramas ({licence}) of whoever made the data set, who knows whether people are in them."
        )
    elif resolved["environment_share"]:
        said.append("Places are CC0 panoramas by Greg Zaal and Poly Haven; nobody is to be recognised in them.")
    return said


def _missing(resolved: Mapping[str, Any]) -> str:
    said = "No value is missing. An empty text or a seed of -1 stands for none."
    return said if has_pictures(resolved) else f"Pictures are null, and pain3d renders them from the rows. {said}"


def _preprocessing(resolved: Mapping[str, Any], painted: ImagesPainted) -> list[str]:
    best = resolved["quality"]
    whose = "one for all images of a view" if resolved["vary"] else "drawn for each image"
    said = [
        f"{resolved['size']} x {resolved['size']} pixels, JPEG of quality {min(70, best)} to {best}",
        f"Exposure, white balance, sharpness, tone and noise are {whose}; columns say which",
        "No image was left out for what it shows",
        "An identity lies in one split only",
    ]
    if painted.refined:
        said.append("Where the painter moved the face, the image is kept as it was rendered (column refined)")
    return said


def _limitations(resolved: Mapping[str, Any]) -> list[str]:
    absent = [words for name, words in SHOWN_IF_ASKED.items() if not resolved[name]]
    return [
        "PSPI is what shows on a face, not felt pain: people in severe pain may show nothing",
        "The faces move by the rules of a rig, which are simpler than faces; nobody in pain was measured to make them, "
        "no certified coder has judged the action units, and how far an intensity moves a face is pain3d's choice",
        "All identities are adults of 18 to 95 years; nothing here is of children",
        "Not shown: " + ", ".join(["wounds", "facial palsy", "dementia", "movement", *absent]),
        "A model that learned from it must be judged on real people before it is trusted, and is no medical device: "
        "not for diagnosis, triage, monitoring or dosing",
        "Not for deciding whether a person's pain is real, for identifying or tracking people, for secret observation, "
        "policing, hiring or insurance, or for pictures that deceive",
    ]


def _biases(resolved: Mapping[str, Any], learned: bool) -> list[str]:
    axis = resolved["vary"]
    said = [
        f"A counterfactual set: within a view only {axis} changes, by steps that are no sample of anything"
        if axis
        else DRAWN[resolved["law"]],
        "Groups of age, sex and ancestry are filled as evenly as the number of identities allows; that makes no model "
        "fair, and a few words for ancestry and two shapes for sex do not cover humanity",
        "Skin tone is measured on the skin's own colour (skin_ita_degrees): ask that, not ancestry, whether tones are "
        "treated alike",
    ]
    if learned:
        said.append("Biases of the models that painted are in what they painted; their own cards tell of them")
    return said
