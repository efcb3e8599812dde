"""Judges a trained model: what it predicted, how well, for whom, with which uncertainty, and a report of it.

A prediction is made elsewhere; here it is a table of numbers. Every figure that can't be had is null and has a reason.
"""
