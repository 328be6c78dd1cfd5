"""Virtual patients: each beat has the properties of its annotation."""

import numpy as np
import pytest

from ecgexp.data.synthetic.patient import draw_patient
from ecgexp.data.synthetic.rhythm import draw_rhythm
from ecgexp.data.synthetic.signal import FS_HZ, draw_signals_mv
from ecgexp.seeding import Seeds

NUM_PATIENTS = 24
SEEDS = Seeds(0)
PATIENTS = [draw_patient(index, SEEDS) for index in range(NUM_PATIENTS)]


@pytest.fixture(scope="module")
def rhythms():
    return [
        draw_rhythm(h, duration_s=300.0, rng=np.random.default_rng(i))
        for i, h in enumerate(PATIENTS)
    ]


@pytest.fixture(scope="module")
def mean_beats(rhythms):
    """(patient index, symbol) -> mean noiseless beat from -250 ms to 500 ms, (270, leads)."""
    means = {}
    for index, (patient, rhythm) in enumerate(zip(PATIENTS, rhythms, strict=True)):
        rng = np.random.default_rng(index)
        signals_mv = draw_signals_mv(patient, rhythm, num_samples=300 * FS_HZ, noise=0.0, rng=rng)
        places = np.round(rhythm.r_s[1:-1] * FS_HZ).astype(int)
        windows = signals_mv[places[:, None] + np.arange(-90, 180)]
        means |= {
            (index, s): windows[rhythm.symbols[1:-1] == s].mean(axis=0)
            for s in set(rhythm.symbols[1:-1])
        }
    return means


def beats(rhythm, symbol):
    return np.flatnonzero(rhythm.symbols == symbol)


def qrs_width_ms(beat_mv):
    """Return how long the norm over leads exceeds 1/8 of its peak, within -75 to 120 ms of R."""
    strength = np.linalg.norm(beat_mv[90 - 27 : 90 + 44], axis=1)
    strong = np.flatnonzero(strength > strength.max() / 8)
    return 1000 / FS_HZ * (strong[-1] - strong[0])


def test_v_is_premature_with_a_full_compensatory_pause(rhythms):
    for patient, rhythm in zip(PATIENTS, rhythms, strict=True):
        at = beats(rhythm, "V")
        rr, ordinary = rhythm.rr_s, np.median(rhythm.rr_s)
        assert np.mean(rr[at]) < 0.8 * ordinary, patient.patient_id
        assert np.mean(rr[at + 1]) > 1.2 * ordinary, patient.patient_id
        assert np.mean(rr[at] + rr[at + 1]) == pytest.approx(2 * ordinary, rel=0.06), (
            patient.patient_id
        )


def test_a_is_premature_without_a_compensatory_pause(rhythms):
    with_a = [
        (patient, rhythm)
        for patient, rhythm in zip(PATIENTS, rhythms, strict=True)
        if patient.conduction != "/"
    ]
    assert len(with_a) == 22
    for patient, rhythm in with_a:
        at = beats(rhythm, "A")
        ordinary = np.median(rhythm.rr_s)
        assert np.mean(rhythm.rr_s[at]) < 0.87 * ordinary, patient.patient_id
        assert np.mean(rhythm.rr_s[at] + rhythm.rr_s[at + 1]) < 1.97 * ordinary, patient.patient_id


def test_ectopic_beats_are_never_adjacent(rhythms):
    for rhythm in rhythms:
        ectopic = np.isin(rhythm.symbols, ("V", "A", "F", "f"))
        assert not np.any(ectopic[1:] & ectopic[:-1])


def test_rr_of_paced_beats_is_constant_and_of_sinus_beats_varies(rhythms):
    for patient, rhythm in zip(PATIENTS, rhythms, strict=True):
        settled = np.isin(rhythm.symbols, ("N", "L", "R", "/"))
        settled[1:] &= settled[:-1]  # the interval after an ectopic beat is a pause
        spread = {
            paced: rhythm.rr_s[settled & ((rhythm.symbols == "/") == paced)].std()
            / patient.mean_rr_s
            for paced in {bool(x) for x in rhythm.symbols[settled] == "/"}
        }
        assert spread[False] > 0.005
        if True in spread:
            assert spread[True] < 0.005


def test_heart_rate_has_a_respiratory_component():
    patient = PATIENTS[0]
    rhythm = draw_rhythm(patient, duration_s=1200.0, rng=np.random.default_rng(0))
    ordinary = np.where(np.isin(rhythm.symbols, ("N", "L")), rhythm.rr_s, np.nan)
    after = np.roll(np.isin(rhythm.symbols, ("V", "A", "F")), 1)
    ordinary[after] = np.nan
    ordinary = np.where(np.isnan(ordinary), np.nanmean(ordinary), ordinary)
    power = np.abs(np.fft.rfft(ordinary - ordinary.mean())) ** 2
    hz = np.fft.rfftfreq(len(ordinary), patient.mean_rr_s)
    near = {
        name: power[np.abs(hz - at) < 0.02].mean()
        for name, at in (("lf", 0.1), ("hf", patient.breathing_hz))
    }
    elsewhere = power[(hz > 0.40)].mean()
    assert near["lf"] > 5 * elsewhere
    assert near["hf"] > 5 * elsewhere


def test_beats_fill_the_record(rhythms):
    for rhythm in rhythms:
        assert np.all(rhythm.rr_s > 0.3)
        assert np.allclose(np.diff(rhythm.r_s), rhythm.rr_s[1:])
        assert rhythm.r_s[0] == pytest.approx(0.2)
        assert rhythm.r_s[-1] == pytest.approx(300 - 0.35)


@pytest.mark.parametrize(("symbol", "least_ms"), [("V", 120), ("L", 110), ("/", 120), ("R", 90)])
def test_wide_beats_are_wider_than_normal_beats_of_the_patient(mean_beats, symbol, least_ms):
    patients = [index for index, name in mean_beats if name == symbol]
    pairs = [
        (qrs_width_ms(mean_beats[index, symbol]), qrs_width_ms(mean_beats[index, "N"]))
        for index in patients
    ]
    assert len(pairs) >= 6
    assert all(wide > normal for wide, normal in pairs), pairs
    assert np.median([wide for wide, _ in pairs]) > least_ms


def test_normal_and_atrial_beats_have_narrow_qrs(mean_beats):
    for symbol in ("N", "A"):
        narrow = [
            qrs_width_ms(m)
            for (i, name), m in mean_beats.items()
            if name == symbol and PATIENTS[i].conduction == "N"
        ]
        assert np.median(narrow) < 90


def test_a_has_the_dominant_qrs_and_another_p_wave(mean_beats):
    sinus = [i for i, patient in enumerate(PATIENTS) if patient.conduction == "N"]
    differs = []
    for index in sinus:
        n, a = mean_beats[index, "N"], mean_beats[index, "A"]
        p, qrs = slice(30, 70), slice(82, 99)  # -167 to -56 ms, -22 to 25 ms
        assert np.corrcoef(n[qrs, 0], a[qrs, 0])[0, 1] > 0.95
        differs.append(np.corrcoef(n[p].ravel(), a[p].ravel())[0, 1] < 0.8)
    assert np.mean(differs) > 0.8


def test_t_of_v_is_discordant(mean_beats):
    for (_, symbol), mean in mean_beats.items():
        if symbol == "V":
            lead = np.abs(mean[75:105]).max(axis=0).argmax()
            qrs = mean[75:105, lead]
            peak = qrs[np.abs(qrs).argmax()]
            assert peak * mean[170:215, lead].mean() < 0


def test_paced_beats_have_a_spike_and_no_p_wave(mean_beats):
    """The spike of a pacemaker has more curvature than a P wave or the onset of a QRS complex."""

    def bend_mv(mean):
        return np.abs(np.diff(mean[54:72, 0], n=2)).max()  # -100 to -50 ms

    paced = [index for index, symbol in mean_beats if symbol == "/"]
    assert len(paced) == 8
    for index in paced:
        assert bend_mv(mean_beats[index, "/"]) > 4 * bend_mv(mean_beats[index, "N"]), index
        p_mv = [np.ptp(mean_beats[index, symbol][20:52, 0]) for symbol in ("/", "N")]
        assert p_mv[0] < 0.5 * p_mv[1], index


def test_fusion_beat_is_a_mix_of_its_two_sources(mean_beats):
    """F is a weighted sum of N and V, with both weights between 0.1 and 0.95."""
    sinus = [i for i, patient in enumerate(PATIENTS) if patient.conduction == "N"]
    for index in sinus:
        f, n, v = (mean_beats[index, symbol][80:110] for symbol in "FNV")
        weights, residual, *_ = np.linalg.lstsq(
            np.stack([n.ravel(), v.ravel()], axis=1), f.ravel(), rcond=None
        )
        assert np.all(weights > 0.1), (index, weights)
        assert np.all(weights < 0.95), (index, weights)


def test_patients_differ_in_the_shape_of_normal_beats(mean_beats):
    normal = np.stack([mean_beats[i, "N"][:, 0] for i in range(NUM_PATIENTS)])
    shape = normal - normal.mean(axis=1, keepdims=True)
    shape /= shape.std(axis=1, keepdims=True)
    alike = (shape @ shape.T / shape.shape[1])[np.triu_indices(NUM_PATIENTS, 1)]
    assert np.percentile(alike, 10) < 0.8
    assert np.median(alike) > 0.4  # and still they are all normal beats


def test_patient_depends_on_its_index_and_seed_only():
    again = draw_patient(5, Seeds(0))
    assert again.mean_rr_s == PATIENTS[5].mean_rr_s
    assert np.array_equal(again.shapes["N"].amplitudes_mv, PATIENTS[5].shapes["N"].amplitudes_mv)
    assert draw_patient(5, Seeds(1)).mean_rr_s != again.mean_rr_s
