"""Preprocessing of records to beats: baseline removal, resampling, windows, RR intervals, cache.

`settings.Preprocessing` has the settings, `pipeline` preprocesses the records of every dataset, and
`qrs_detection` detects beats in recordings without annotations.
"""
