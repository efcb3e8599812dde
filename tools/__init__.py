"""Knows what is done to this tree by hand, from its root: `python -m tools.<name>`. Nothing here is installed."""
