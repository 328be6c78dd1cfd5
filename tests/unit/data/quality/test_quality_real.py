"""The thresholds on DS1 of mitdb: at most 0.5 % of its beats are marked, noise at 0 dB is found."""

import numpy as np
import pytest
from mitdb_records import DS1

from ecgexp.data.quality.segments import beat_codes, segment_marks


@pytest.mark.real_data
@pytest.mark.slow
def test_few_beats_of_ds1_and_all_noise_are_marked(real_root):
    import wfdb

    folder = real_root / "mitdb/1.0.0"
    rng, marked, beats, found = np.random.default_rng(0), 0, 0, []
    for record_id in DS1:
        record = wfdb.rdrecord(str(folder / record_id), channel_names=["MLII"])
        lead = record.p_signal[:, 0]
        annotation = wfdb.rdann(str(folder / record_id), "atr")
        is_beat = np.isin(annotation.symbol, list("NLRaAJSVFejE/fQ"))
        codes, _ = beat_codes([lead], 360.0, annotation.sample[is_beat])
        marked, beats = marked + int(np.sum(codes != 0)), beats + len(codes)
        minute = lead[: 60 * 360]
        noise = rng.normal(size=len(minute)) * minute.std()
        found.extend((segment_marks(minute + noise, 360.0)[0] != "").tolist())
    assert beats == 51021
    assert marked <= 0.005 * beats
    assert np.mean(found) >= 0.99
