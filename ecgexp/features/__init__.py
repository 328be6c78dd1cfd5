"""Beats as pictures: the line plot a cardiologist would look at, as input of a two-dimensional network."""

from ecgexp.features.render import DEFAULT_LIMITS_MV, render_beats

__all__ = ["DEFAULT_LIMITS_MV", "render_beats"]
