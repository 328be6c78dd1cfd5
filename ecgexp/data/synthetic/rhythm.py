"""Times and symbols of the beats of a virtual patient."""

from dataclasses import dataclass

import numpy as np

from ecgexp.data.synthetic.patient import VirtualPatient

# Defaults of ECGSYN; the frequency of the respiratory component is the patient's.
_LF_HZ, _LF_WIDTH_HZ, _HF_WIDTH_HZ = 0.1, 0.01, 0.01
# Distance from the ends of the record: as in real records, a long window extends beyond it at the
# first beat.
_FIRST_R_S, _LAST_R_S = 0.2, 0.35
_MIN_EPISODE = 5  # beats


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """The beats of one record.

    Attributes:
      r_s: (num_beats,) float64, seconds from the start of the record, increasing.
      rr_s: (num_beats,) float64, seconds, interval before each beat; for the first beat, the
        interval of a dominant beat.
      conduction: (num_beats,) str, conduction of the dominant rhythm at this beat: `"N"`, `"L"`,
        `"R"` or `"/"`.
      symbols: (num_beats,) str, the annotation.
    """

    r_s: np.ndarray
    rr_s: np.ndarray
    conduction: np.ndarray
    symbols: np.ndarray


def draw_rhythm(patient: VirtualPatient, *, duration_s: float, rng: np.random.Generator) -> Rhythm:
    """Draw the beats of one record; each symbol that the patient has occurs at least once.

    Args:
      patient: The patient.
      duration_s: Length of the record in seconds.
      rng: Used for all draws.

    Returns:
      The beats.
    """
    num_beats = int(duration_s / patient.mean_rr_s)
    conduction = _conduction(patient, num_beats, rng)
    symbols = _symbols(patient, conduction, rng)
    rr_s = _ordinary_rr_s(patient, conduction, rng)
    _displace_ectopic(rr_s, symbols, patient, rng)
    # Premature beats without a full pause shorten the record; intervals longer by a few percent
    # restore its length.
    elapsed_s = np.concatenate([[0.0], np.cumsum(rr_s[1:])])
    stretch = (duration_s - _FIRST_R_S - _LAST_R_S) / elapsed_s[-1]
    return Rhythm(
        r_s=_FIRST_R_S + stretch * elapsed_s,
        rr_s=stretch * rr_s,
        conduction=conduction,
        symbols=symbols,
    )


def _conduction(patient: VirtualPatient, num_beats: int, rng: np.random.Generator) -> np.ndarray:
    """Return the dominant conduction with one episode of the other one."""
    length = max(_MIN_EPISODE, round(patient.episode_fraction * num_beats))
    start = rng.integers(2, num_beats - length - 1)
    conduction = np.full(num_beats, patient.conduction)
    conduction[start : start + length] = patient.episode
    return conduction


def _symbols(
    patient: VirtualPatient, conduction: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Replace some dominant beats by ectopic and fusion beats.

    They have even indices, so that two are never adjacent and each has its own pause; bigeminy is
    possible.
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
    """Draw intervals in seconds with the bimodal spectrum of ECGSYN (McSharry et al. 2003).

    Intervals of paced beats are almost constant.
    """
    num_beats = len(conduction)
    frequency_hz = np.fft.rfftfreq(num_beats, patient.mean_rr_s)
    lf = np.exp(-(((frequency_hz - _LF_HZ) / _LF_WIDTH_HZ) ** 2) / 2)
    hf = np.exp(-(((frequency_hz - patient.breathing_hz) / _HF_WIDTH_HZ) ** 2) / 2)
    # The constant: a short record may have no frequency near the peaks.
    power = patient.lf_hf_ratio * lf + hf + 1e-3
    power[0] = 0.0
    phase = rng.uniform(0, 2 * np.pi, len(power))
    wave = np.fft.irfft(np.sqrt(power) * np.exp(1j * phase), num_beats)
    variation = np.clip(patient.rr_variation * wave / wave.std(), -0.15, 0.15)
    variation[conduction == "/"] *= 0.05
    return patient.mean_rr_s * (1 + variation)


def _displace_ectopic(
    rr_s: np.ndarray, symbols: np.ndarray, patient: VirtualPatient, rng: np.random.Generator
) -> None:
    """Change the intervals of ectopic beats in place: V and A are premature, F slightly.

    V has a full compensatory pause: the sinus node is not reset, so that the intervals before and
    after V add up to two dominant intervals. A resets the node, so that the interval after it is a
    slightly longer dominant interval.
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
