"""The part of wfdb 4.3 that the package uses; wfdb publishes no types.

`rdheader` and `rdrecord` return a `MultiRecord` for a record of several segments. The package reads
segments one by one and refuses such a header before wfdb sees it.
"""

from typing import Any

import numpy as np

def __getattr__(name: str) -> Any: ...

class Record:
    n_sig: int
    sig_len: int | None
    fs: float
    file_name: list[str]
    fmt: list[str]
    byte_offset: list[int | None]
    samps_per_frame: list[int]
    skew: list[int | None]
    adc_gain: list[float | None]
    baseline: list[int]
    units: list[str]
    init_value: list[int]
    checksum: list[int]
    sig_name: list[str]
    comments: list[str]
    d_signal: np.ndarray
    e_d_signal: list[np.ndarray]
    def __init__(self, **fields: Any) -> None: ...
    def wrsamp(self, **options: Any) -> None: ...

def rdheader(record_name: str, *args: Any, **options: Any) -> Record: ...
def rdrecord(record_name: str, *args: Any, **options: Any) -> Record: ...
