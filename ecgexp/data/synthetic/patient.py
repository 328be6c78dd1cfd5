"""Virtual patients: whose heart it is, how its beats look, how fast it goes and how often it misses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ecgexp.data.synthetic.shapes import LEADS, SHAPES, Shape
from ecgexp.seeding import Seeds

# What each patient's conduction changes to now and then. Any three neighbours have all three, so a split that holds out
# whole patients can have every class on each of its sides; see `draw_patient`.
_INTERMITTENT = ("L", "R", "/")
_CYCLE = 12


@dataclass(frozen=True, kw_only=True)
class VirtualPatient:
    """One virtual patient.

    Attributes:
      patient_id: e.g. `"p001"`.
      conduction: the symbol of the ordinary beat: `"N"`, `"L"`, `"R"` or `"/"`.
      episode: the symbol it changes to for one stretch of each record.
      episode_fraction: the share of the beats in that stretch.
      mean_rr_s: mean interval between ordinary beats.
      rr_variation: standard deviation of that interval divided by its mean.
      lf_hf_ratio: power of the 0.1 Hz wave of the heart rate over that of the breathing wave.
      breathing_hz: frequency of the breath, which moves rate, amplitude and baseline.
      rates: symbol of an ectopic or fusion beat -> its share of all beats.
      coupling: `"V"` and `"A"` -> interval before that beat divided by the ordinary one.
      left_focus: the chance that a V comes from the left ventricle; most patients have one focus.
      shapes: the patient's own form of `SHAPES`.
      noise_mv: `"wander"`, `"muscle"`, `"mains"` -> standard deviation or amplitude.
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
    """The name of patient number `index` (0-based)."""
    return f"p{index + 1:03d}"


def draw_patient(index: int, seeds: Seeds) -> VirtualPatient:
    """Patient number `index` (0-based) of the database of `seeds`; drawing more patients does not change him.

    Of every twelve, those of index 3, 7 and 11 live with L, R and paced beats and have a short stretch of N; the others
    are in sinus rhythm with a short stretch of L, R or paced beats. All have V and F, all but those who live paced A.
    """
    rng = seeds.generator(f"synthetic/heart/{index}")
    usual = _INTERMITTENT[index % 3]
    lasting = index % _CYCLE in (3, 7, 11)
    conduction, episode = (usual, "N") if lasting else ("N", usual)
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
    """How often each beat that is not ordinary comes: a few patients have many, most have few."""
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
    """The shapes of one patient: build scales each lead, axis each deflection, and each is a little off in time.

    The spread is what makes another patient's beats harder to tell than one's own; it was set so that a random forest
    on the windows does well on a split by beats and clearly worse on one by patients, as it does on MIT-BIH.
    """
    lead_gain = rng.lognormal(0.0, 0.2, len(LEADS))
    speed = rng.lognormal(0.0, 0.15)
    shapes = {name: _own(rng, shape, lead_gain, speed) for name, shape in SHAPES.items()}
    # T may be inverted in a lead, but for wide beats, whose T is discordant; an atrial focus may lie high (P upright)
    # or low; a bipolar pacemaker leaves hardly a spike.
    t_sign = np.where(rng.random(len(LEADS)) < 0.2, -0.6, 1.0)
    for name in ("N", "R"):
        shapes[name] = _scaled(
            shapes[name], np.where(shapes[name].repolarises[:, None], t_sign, 1.0)
        )
    shapes["ectopic P"] = _scaled(shapes["ectopic P"], rng.choice((-0.9, 1.0)))
    shapes["spike"] = _scaled(shapes["spike"], rng.uniform(0.15, 1.2))
    return shapes


def _own(rng: np.random.Generator, shape: Shape, lead_gain: np.ndarray, speed: float) -> Shape:
    waves = shape.centres_s.shape
    return replace(
        shape,
        centres_s=shape.centres_s * rng.normal(1.0, 0.08, waves),
        widths_s=shape.widths_s * speed * rng.lognormal(0.0, 0.10, waves),
        amplitudes_mv=shape.amplitudes_mv
        * lead_gain
        * rng.lognormal(0.0, 0.40, shape.amplitudes_mv.shape),
    )


def _scaled(shape: Shape, factor: np.ndarray | float) -> Shape:
    return replace(shape, amplitudes_mv=shape.amplitudes_mv * factor)
