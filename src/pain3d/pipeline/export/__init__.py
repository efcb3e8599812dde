"""Writes a data set in the layouts that other people's code reads."""
