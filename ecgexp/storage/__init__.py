"""Atomic files, arrays without pickle, digests, reading with limits, temporary folders.

The package uses `ecgexp.settings` only (for its error classes); all packages that read or write
files use this one.
"""
