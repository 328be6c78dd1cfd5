"""When a virtual heart beats, and which beat it is."""

from dataclasses import dataclass

import numpy as np

from ecgexp.data.synthetic.patient import VirtualPatient

_LF_HZ, _LF_WIDTH_HZ, _HF_WIDTH_HZ = (
    0.1,
    0.01,
    0.01,
)  # ECGSYN's defaults; its breathing wave is the patient's
_FIRST_R_S, _LAST_R_S = (
    0.2,
    0.35,
)  # from the ends: as in real records, a long window does not fit round the first beat
_MIN_EPISODE = 5  # beats


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """The beats of one record.

    Attributes:
      r_s: (num_beats,) seconds from the start of the record, increasing.
      rr_s: (num_beats,) interval before each beat; the first one's is that of an ordinary beat.
      conduction: (num_beats,) str, how the ventricles would be excited here: `"N"`, `"L"`, `"R"` or `"/"`.
      symbols: (num_beats,) str, the annotation.
    """

    r_s: np.ndarray
    rr_s: np.ndarray
    conduction: np.ndarray
    symbols: np.ndarray


def draw_rhythm(patient: VirtualPatient, *, duration_s: float, rng: np.random.Generator) -> Rhythm:
    """The beats of `patient` in a record of `duration_s`, every symbol the heart knows at least once."""
    num_beats = int(duration_s / patient.mean_rr_s)
    conduction = _conduction(patient, num_beats, rng)
    symbols = _symbols(patient, conduction, rng)
    rr_s = _ordinary_rr_s(patient, conduction, rng)
    _displace_ectopic(rr_s, symbols, patient, rng)
    # Premature beats without a full pause leave the record short; a slightly slower heart (a few per cent) fills it.
    elapsed_s = np.concatenate([[0.0], np.cumsum(rr_s[1:])])
    stretch = (duration_s - _FIRST_R_S - _LAST_R_S) / elapsed_s[-1]
    return Rhythm(
        r_s=_FIRST_R_S + stretch * elapsed_s,
        rr_s=stretch * rr_s,
        conduction=conduction,
        symbols=symbols,
    )


def _conduction(patient: VirtualPatient, num_beats: int, rng: np.random.Generator) -> np.ndarray:
    """The ordinary conduction with one stretch of the other."""
    length = max(_MIN_EPISODE, round(patient.episode_fraction * num_beats))
    start = rng.integers(2, num_beats - length - 1)
    conduction = np.full(num_beats, patient.conduction)
    conduction[start : start + length] = patient.episode
    return conduction


def _symbols(
    patient: VirtualPatient, conduction: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Replaces some ordinary beats by ectopic and fused ones.

    They stand on even beats only, so that two never touch and each has its own pause; bigeminy can happen.
    """
    symbols = conduction.copy()
    even = np.arange(len(symbols)) % 2 == 0
    even[:2] = even[-2:] = False
    for symbol, rate in patient.rates.items():
        possible = {"f": conduction == "/", "V": np.ones_like(even)}.get(symbol, conduction != "/")
        places = np.flatnonzero(even & possible & (symbols == conduction))
        count = max(1, round(rate * len(symbols)))
        symbols[rng.permutation(places)[:count]] = symbol
    return symbols


def _ordinary_rr_s(
    patient: VirtualPatient, conduction: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Intervals with the two-peaked spectrum of ECGSYN (McSharry et al. 2003); a pacemaker's are almost constant."""
    num_beats = len(conduction)
    frequency_hz = np.fft.rfftfreq(num_beats, patient.mean_rr_s)
    lf = np.exp(-(((frequency_hz - _LF_HZ) / _LF_WIDTH_HZ) ** 2) / 2)
    hf = np.exp(-(((frequency_hz - patient.breathing_hz) / _HF_WIDTH_HZ) ** 2) / 2)
    power = (
        patient.lf_hf_ratio * lf + hf + 1e-3
    )  # the floor: a short record may have no frequency near the peaks
    power[0] = 0.0
    phase = rng.uniform(0, 2 * np.pi, len(power))
    wave = np.fft.irfft(np.sqrt(power) * np.exp(1j * phase), num_beats)
    variation = np.clip(patient.rr_variation * wave / wave.std(), -0.15, 0.15)
    variation[conduction == "/"] *= 0.05
    return patient.mean_rr_s * (1 + variation)


def _displace_ectopic(
    rr_s: np.ndarray, symbols: np.ndarray, patient: VirtualPatient, rng: np.random.Generator
) -> None:
    """Moves ectopic beats in place: V early with a full compensatory pause, A early, F hardly early.

    The pause after V is what two ordinary intervals leave over: the sinus node was not disturbed, its next beat comes
    in time. A resets the node, so the interval after it is an ordinary one, a little longer.
    """
    for symbol, share, pause in (
        ("V", patient.coupling["V"], None),
        ("A", patient.coupling["A"], 1.05),
        ("F", 0.95, None),
    ):
        beats = np.flatnonzero(symbols == symbol)
        prematurity = share * rng.normal(1.0, 0.03, len(beats))
        ordinary, following = rr_s[beats].copy(), rr_s[beats + 1].copy()
        rr_s[beats] = prematurity * ordinary
        rr_s[beats + 1] = ordinary + following - rr_s[beats] if pause is None else pause * following
