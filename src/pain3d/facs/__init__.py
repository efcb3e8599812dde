"""Facial action coding: action units, PSPI, and what they move."""

from pain3d.facs.action_units import AU_COLUMNS, AU_NUMBERS, CO_OCCURRING_AUS, ActionUnits
from pain3d.facs.pain_score import LAWS, MAX_PSPI, PAIN_AUS, pspi, sample_pain_units, solutions

__all__ = [
    "AU_COLUMNS",
    "AU_NUMBERS",
    "CO_OCCURRING_AUS",
    "LAWS",
    "MAX_PSPI",
    "PAIN_AUS",
    "ActionUnits",
    "pspi",
    "sample_pain_units",
    "solutions",
]
