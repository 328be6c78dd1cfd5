"""Signals of a virtual patient: beats, respiration, muscle noise and powerline interference."""

import numpy as np

from ecgexp.data.synthetic.patient import VirtualPatient
from ecgexp.data.synthetic.rhythm import Rhythm
from ecgexp.data.synthetic.shapes import LEADS, Shape

FS_HZ = 360
_REACH = 5.0  # standard deviations of a Gaussian on each side; values beyond are below a microvolt
_MAINS_HZ = 60.0


def draw_signals_mv(
    patient: VirtualPatient,
    rhythm: Rhythm,
    *,
    num_samples: int,
    noise: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the signals of one record in all `LEADS`.

    Args:
      patient: The patient.
      rhythm: The beats of the record.
      num_samples: Length of the record, at `FS_HZ`.
      noise: Factor of all components except the beats.
      rng: Used for all draws.

    Returns:
      (num_samples, leads) float64, millivolts.
    """
    time_s = np.arange(num_samples) / FS_HZ
    breath_phase = rng.uniform(0, 2 * np.pi)
    breath_at_r = np.sin(2 * np.pi * patient.breathing_hz * rhythm.r_s + breath_phase)
    signals_mv = np.zeros((num_samples, len(LEADS)))
    for name, weight in _mix(patient, rhythm, rng).items():
        beats = np.flatnonzero(weight)
        gain = weight[beats] * (1 + 0.05 * breath_at_r[beats]) * rng.normal(1.0, 0.03, len(beats))
        signals_mv += _draw_part(
            patient.shapes[name], rhythm.r_s[beats], rhythm.rr_s[beats], gain, num_samples, rng
        )
    breath = np.sin(2 * np.pi * patient.breathing_hz * time_s + breath_phase)
    return signals_mv + noise * _draw_noise_mv(patient, breath, rng)


def _mix(
    patient: VirtualPatient, rhythm: Rhythm, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw the weight of each shape in each beat: shape name -> (num_beats,) float64.

    A has another P wave and the conduction of the beats around it. F and f are fusion beats of two
    sources: dominant conduction and ventricular focus, or pacemaker and intrinsic conduction.
    """
    symbol, conduction = rhythm.symbols, rhythm.conduction
    share = np.where(np.isin(symbol, ("F", "f")), rng.uniform(0.35, 0.65, len(symbol)), 1.0)
    from_left = rng.random(len(symbol)) < patient.left_focus
    ectopic = np.isin(symbol, ("V", "F")) * share
    ordinary = np.select([symbol == "V", symbol == "F"], [0.0, 1 - share], share)
    mix = {name: ordinary * (conduction == name) for name in ("N", "L", "R", "/")}
    mix["N"] = mix["N"] + (symbol == "f") * (1 - share)
    mix["spike"] = np.isin(symbol, ("/", "f")) * 1.0
    mix["sinus P"] = np.isin(symbol, ("N", "L", "R", "F")) * 1.0
    mix["ectopic P"] = (symbol == "A") * 1.0
    mix["V left"], mix["V right"] = ectopic * from_left, ectopic * ~from_left
    return mix


def _draw_part(
    shape: Shape,
    r_s: np.ndarray,
    rr_s: np.ndarray,
    gain: np.ndarray,
    num_samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw one shape at the beats `r_s`: (num_samples, leads) float64, millivolts.

    The delay of T is proportional to the square root of RR (Bazett), as in ECGSYN.
    """
    size = (len(r_s), len(shape.centers_s))
    delay = np.where(shape.is_t_wave, np.clip(np.sqrt(rr_s / 0.85), 0.8, 1.15)[:, None], 1.0)
    centers_s = r_s[:, None] + shape.centers_s * delay + rng.normal(0.0, 0.0015, size)
    widths_s = shape.widths_s * rng.normal(1.0, 0.03, size)
    amplitudes_mv = gain[:, None, None] * shape.amplitudes_mv
    return _sum_of_gaussians(
        centers_s.ravel(), widths_s.ravel(), amplitudes_mv.reshape(-1, len(LEADS)), num_samples
    )


def _sum_of_gaussians(
    centers_s: np.ndarray, widths_s: np.ndarray, amplitudes_mv: np.ndarray, num_samples: int
) -> np.ndarray:
    """Add up Gaussians lead by lead; each is evaluated up to `_REACH` standard deviations."""
    reach = int(np.ceil(_REACH * widths_s.max(initial=0.0) * FS_HZ))
    samples = np.round(centers_s * FS_HZ).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    bumps = np.exp(-0.5 * ((samples / FS_HZ - centers_s[:, None]) / widths_s[:, None]) ** 2)
    inside = (samples >= 0) & (samples < num_samples)
    leads = [
        np.bincount(samples[inside], (bumps * amplitude_mv[:, None])[inside], minlength=num_samples)
        for amplitude_mv in amplitudes_mv.T
    ]
    return np.stack(leads, axis=1)


def _draw_noise_mv(
    patient: VirtualPatient, breath: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw the noise: (num_samples, leads) float64, millivolts.

    It is the sum of baseline wander (respiration and drift), muscle noise of varying amplitude, and
    powerline interference.
    """
    num_samples, leads = len(breath), len(LEADS)
    time_s = np.arange(num_samples) / FS_HZ
    # One value of drift and of muscle activity every four seconds.
    knots = rng.normal(size=(int(time_s[-1] / 4) + 2, 2 * leads))
    slow = np.stack(
        [np.interp(time_s, 4 * np.arange(len(knots)), column) for column in knots.T], axis=1
    )
    wander = slow[:, :leads] + rng.uniform(0.2, 0.6, leads) * breath[:, None]
    muscle = np.exp(0.6 * slow[:, leads:]) * rng.normal(size=(num_samples, leads))
    mains = np.sin(2 * np.pi * _MAINS_HZ * time_s[:, None] + rng.uniform(0, 2 * np.pi, leads))
    level_mv = patient.noise_mv
    return level_mv["wander"] * wander + level_mv["muscle"] * muscle + level_mv["mains"] * mains
