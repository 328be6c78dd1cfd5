"""Records to beats: baseline removal, resampling, windows, RR intervals, and the cache.

`settings.Preprocessing` says what is done and `pipeline` does it for every dataset; `qrs_detection`
finds beats that nobody annotated.
"""
