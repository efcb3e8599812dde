"""Knows the CenterFace detector (Xu et al. 2019, arXiv 1911.03599): a picture in, the box of its surest face out.

Another architecture and other training data than MediaPipe's: an anchor-free net on MobileNetV2, trained on WIDER FACE.
It runs in OpenCV; the decoding follows the paper: a heatmap of face centres at a quarter of the size, each with the log
of its height and width and with its offset.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from pain3d.pipeline.judge.extra import CENTERFACE

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

OUTPUTS: Final = ("537", "538", "539", "540")  # heatmap, scale, offset, five landmarks
STRIDE: Final = 4
THRESHOLD: Final = 0.5  # as its authors' own demo; seen on first renders: 0.80 to 0.93
MOST_PIXELS: Final = 512  # a side: a larger picture is shrunk to it


class CenterFace:
    """Reads one picture after another. Raises RefusedError if its model is not installed."""

    def __init__(self) -> None:
        import cv2

        self._net = cv2.dnn.readNetFromONNX(str(CENTERFACE.find()))

    def read(self, pixels: Pixels) -> tuple[Box, float] | None:
        """The box x0, y0, x1, y1 in pixels and the score of the surest face of [H, W, 3] sRGB; None under THRESHOLD."""
        import cv2

        height, width = pixels.shape[:2]
        sides = [-(-min(side, MOST_PIXELS) // 32) * 32 for side in (width, height)]  # the net halves five times
        self._net.setInput(cv2.dnn.blobFromImage(pixels, 1.0, (sides[0], sides[1])))
        heat, scale, offset, _ = self._net.forward(list(OUTPUTS))
        found = surest(heat[0, 0], scale[0], offset[0])
        if found is None:
            return None
        x0, y0, x1, y1, score = found
        right, down = width / sides[0], height / sides[1]
        return (x0 * right, y0 * down, x1 * right, y1 * down), score


def surest(
    heat: npt.NDArray[np.floating], scale: npt.NDArray[np.floating], offset: npt.NDArray[np.floating]
) -> tuple[float, float, float, float, float] | None:
    """Decode heat [h, w], scale [2, h, w] (log of height, width in strides) and offset [2, h, w] (y, x) at its peak."""
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    score = float(heat[row, column])
    if score < THRESHOLD:
        return None
    high, wide = np.exp(scale[:, row, column].astype(float)) * STRIDE
    down, right = offset[:, row, column].astype(float)
    x, y = (column + right + 0.5) * STRIDE, (row + down + 0.5) * STRIDE
    return float(x - wide / 2), float(y - high / 2), float(x + wide / 2), float(y + high / 2), score
