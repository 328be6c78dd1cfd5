"""Virtual patients: conduction, shapes of beats, heart rate and rates of ectopic beats."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ecgexp.data.synthetic.shapes import LEADS, SHAPES, Shape
from ecgexp.seeding import Seeds

# Conduction of intermittent episodes. Any three consecutive patients have all three, so that a
# split by patient can have every class in each part; see `draw_patient`.
_INTERMITTENT = ("L", "R", "/")
_CYCLE = 12


@dataclass(frozen=True, kw_only=True)
class VirtualPatient:
    """One virtual patient.

    Attributes:
      patient_id: Its id, e.g. `"p001"`.
      conduction: Symbol of the dominant beat: `"N"`, `"L"`, `"R"` or `"/"`.
      episode: Symbol of the dominant beat during one episode of each record.
      episode_fraction: Share of the beats in the episode.
      mean_rr_s: Mean interval between dominant beats, in seconds.
      rr_variation: Standard deviation of this interval divided by its mean.
      lf_hf_ratio: Power of the 0.1 Hz component of the heart rate divided by that of the
        respiratory component.
      breathing_hz: Respiratory frequency, which modulates rate, amplitude and baseline.
      rates: Symbol of an ectopic or fusion beat -> its share of all beats.
      coupling: `"V"` and `"A"` -> interval before such a beat divided by the dominant interval.
      left_focus: Probability that a V originates in the left ventricle; most patients have one
        focus.
      shapes: The patient's variant of `SHAPES`.
      noise_mv: `"wander"`, `"muscle"`, `"mains"` -> standard deviation or amplitude, in millivolts.
    """

    patient_id: str
    conduction: str
    episode: str
    episode_fraction: float
    mean_rr_s: float
    rr_variation: float
    lf_hf_ratio: float
    breathing_hz: float
    rates: Mapping[str, float]
    coupling: Mapping[str, float]
    left_focus: float
    shapes: Mapping[str, Shape]
    noise_mv: Mapping[str, float]


def patient_id(index: int) -> str:
    """Return the id of the patient with this index, from 0."""
    return f"p{index + 1:03d}"


def draw_patient(index: int, seeds: Seeds) -> VirtualPatient:
    """Draw the parameters of one patient, which do not depend on the number of patients.

    Of every twelve patients, those with index 3, 7 and 11 have permanent L, R and paced beats, with
    an episode of N; the others are in sinus rhythm, with an episode of L, R or paced beats. All
    have V and F; all except those with permanent paced beats have A.

    Args:
      index: Index of the patient in the database, from 0.
      seeds: Gives the random stream.

    Returns:
      The patient.
    """
    rng = seeds.generator(f"synthetic/heart/{index}")
    abnormal = _INTERMITTENT[index % 3]
    permanent = index % _CYCLE in (3, 7, 11)
    conduction, episode = (abnormal, "N") if permanent else ("N", abnormal)
    return VirtualPatient(
        patient_id=patient_id(index),
        conduction=conduction,
        episode=episode,
        episode_fraction=float(rng.uniform(0.10, 0.18)),
        mean_rr_s=float(rng.uniform(0.66, 1.0)),
        rr_variation=float(rng.uniform(0.02, 0.06)),
        lf_hf_ratio=float(rng.uniform(0.4, 2.0)),
        breathing_hz=float(rng.uniform(0.18, 0.32)),
        rates=_rates(rng, conduction, episode),
        coupling={"V": float(rng.uniform(0.55, 0.72)), "A": float(rng.uniform(0.62, 0.80))},
        left_focus=float(rng.choice((0.0, 1.0, 0.25), p=(0.45, 0.35, 0.2))),
        shapes=_own_shapes(rng),
        noise_mv={
            "wander": float(rng.uniform(0.03, 0.15)),
            "muscle": float(rng.uniform(0.008, 0.03)),
            "mains": float(rng.uniform(0.0, 0.015)),
        },
    )


def _rates(rng: np.random.Generator, conduction: str, episode: str) -> dict[str, float]:
    """Draw the share of each kind of ectopic or fusion beat: high in few patients, low in most."""
    rates = {
        "f": float(np.clip(rng.lognormal(np.log(0.015), 0.4), 0.0, 0.04)),
        "F": float(np.clip(rng.lognormal(np.log(0.020), 0.5), 0.0, 0.06)),
        "A": float(np.clip(rng.lognormal(np.log(0.030), 0.8), 0.0, 0.15)),
        "V": float(np.clip(rng.lognormal(np.log(0.060), 0.7), 0.0, 0.20)),
    }
    absent = {"A"} if conduction == "/" else set()
    if "/" not in (conduction, episode):
        absent = {"f"}
    return {symbol: rate for symbol, rate in rates.items() if symbol not in absent}


def _own_shapes(rng: np.random.Generator) -> dict[str, Shape]:
    """Draw the shapes of one patient: factors for each lead, each deflection and each width.

    The spread between patients makes beats of a new patient harder to classify. It was chosen such
    that a random forest on the windows scores clearly worse on a split by patient than on a split
    by beat, as on MIT-BIH.
    """
    lead_gain = rng.lognormal(0.0, 0.2, len(LEADS))
    speed = rng.lognormal(0.0, 0.15)
    shapes = {name: _own(rng, shape, lead_gain, speed) for name, shape in SHAPES.items()}
    # T may be inverted in a lead, except for wide beats, whose T is discordant; an atrial focus may
    # be high (upright P) or low; the spike of a bipolar pacemaker is small.
    t_sign = np.where(rng.random(len(LEADS)) < 0.2, -0.6, 1.0)
    for name in ("N", "R"):
        shapes[name] = _scaled(shapes[name], np.where(shapes[name].is_t_wave[:, None], t_sign, 1.0))
    shapes["ectopic P"] = _scaled(shapes["ectopic P"], rng.choice((-0.9, 1.0)))
    shapes["spike"] = _scaled(shapes["spike"], rng.uniform(0.15, 1.2))
    return shapes


def _own(rng: np.random.Generator, shape: Shape, lead_gain: np.ndarray, speed: float) -> Shape:
    waves = shape.centers_s.shape
    return replace(
        shape,
        centers_s=shape.centers_s * rng.normal(1.0, 0.08, waves),
        widths_s=shape.widths_s * speed * rng.lognormal(0.0, 0.10, waves),
        amplitudes_mv=shape.amplitudes_mv
        * lead_gain
        * rng.lognormal(0.0, 0.40, shape.amplitudes_mv.shape),
    )


def _scaled(shape: Shape, factor: np.ndarray | float) -> Shape:
    return replace(shape, amplitudes_mv=shape.amplitudes_mv * factor)
