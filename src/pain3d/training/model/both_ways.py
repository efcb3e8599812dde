"""Knows what a model says of a picture and of its mirror image together: the mean of both.

A face and its mirror image hurt alike, and nothing in a net makes it say so; where they differ, half of the difference
is an error. It costs a second look, and none while a model learns.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from pain3d.training.model.vitpain import Outputs


def ask_both_ways(
    model: nn.Module,
    image: Tensor,
    neutral: Tensor | None = None,
    neutral_of: Tensor | None = None,
    attention: bool = False,
) -> Outputs:
    """What a model says of pictures: means over each and its mirror image, which is beside mirrored neutral ones.

    Args:
        model: In evaluation mode.
        image: As `ViTPain.forward` takes it, as the others.
        neutral: Neutral pictures.
        neutral_of: Which of them.
        attention: Whether the attention is handed back.

    Returns:
        Tokens and attention are those of the pictures as they are, all else is a mean.
    """
    seen: Outputs = model(image, neutral, neutral_of, attention=attention)
    turned: Outputs = model(image.flip(3), None if neutral is None else neutral.flip(3), neutral_of)
    spread = None
    if seen.pspi_std is not None and turned.pspi_std is not None:
        spread = (seen.pspi_std + turned.pspi_std) / 2
    return replace(
        seen,
        pspi_logit=(seen.pspi_logit + turned.pspi_logit) / 2,
        pspi=(seen.pspi + turned.pspi) / 2,
        au=(seen.au + turned.au) / 2,
        binary=(seen.binary + turned.binary) / 2,
        pspi_std=spread,
    )
