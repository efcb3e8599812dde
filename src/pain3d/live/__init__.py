"""Faces that move: a live look in a browser, and a recording's action units as a film."""
