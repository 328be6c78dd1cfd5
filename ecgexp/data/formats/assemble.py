"""A record of its leads and annotations, as the readers of EDF and CSV files return it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ecgexp.data.formats.annotation_order import in_time_order
from ecgexp.data.formats.integrity import is_inside
from ecgexp.data.formats.record import Record, split_outside


def assemble(
    path: Path,
    leads_mv: Mapping[str, np.ndarray],
    samples: np.ndarray,
    symbols: np.ndarray,
    *,
    fs_hz: float,
    unusable: Mapping[str, str],
    gaps: Mapping[str, np.ndarray],
    notes: Counter[str],
) -> Record:
    """Return a record with the name of its file as id and patient.

    Args:
      path: The file.
      leads_mv: Lead -> (num_samples,) float64, millivolts; at least one.
      samples: (num_annotations,) int64, in any order.
      symbols: (num_annotations,) str.
      fs_hz: Sampling frequency.
      unusable: See `Record`.
      gaps: See `Record`.
      notes: What was accepted although it is unusual; that of the order of annotations is added.

    Raises:
      MemoryError: The record does not fit into memory.
    """
    signals_mv = np.stack(list(leads_mv.values()), axis=1)
    samples, symbols, _ = in_time_order(samples, symbols, notes)
    return Record(
        record_id=path.stem,
        patient_id=path.stem,
        signals_mv=signals_mv,
        lead_names=tuple(leads_mv),
        fs_hz=fs_hz,
        unusable=unusable,
        gaps=gaps,
        notes=dict(+notes),
        **split_outside(samples, symbols, is_inside(samples, len(signals_mv))),
    )
