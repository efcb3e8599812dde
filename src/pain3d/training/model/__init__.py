"""Models: a face and a neutral face of the same person in; pain score, action units and thresholds out."""
