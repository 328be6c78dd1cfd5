"""The marks of segments that show no usable ECG; `segments` says when a segment has one."""

NO_MARK = ""
FLAT, RAILS, AMPLITUDE = "flat", "at the rails", "implausible amplitude"
LEAD_OFF, NOISE, RATE = "lead off", "noise", "implausible rate"

MARKS = (NO_MARK, FLAT, RAILS, AMPLITUDE, LEAD_OFF, NOISE, RATE)
"""All marks; `BeatSet.quality` has their places in this tuple."""

VERSION = 1
"""Part of the key of cached beats. Increase it when the same signal gets other marks."""
