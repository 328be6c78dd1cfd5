"""What the electrodes of a virtual patient pick up: the sum of his beats, his breath, his muscles and the mains."""

import numpy as np

from ecgexp.data.synthetic.patient import VirtualPatient
from ecgexp.data.synthetic.rhythm import Rhythm
from ecgexp.data.synthetic.shapes import LEADS, Shape

FS_HZ = 360
_REACH = 5.0  # standard deviations drawn on each side of a Gaussian; what is cut off is below a microvolt
_MAINS_HZ = 60.0


def draw_signals_mv(
    patient: VirtualPatient,
    rhythm: Rhythm,
    *,
    num_samples: int,
    noise: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """A heart's record in all `LEADS`: (num_samples, leads) float64, millivolts; `noise` scales all but the beats."""
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
    """How much of each shape is in each beat: shape name -> (num_beats,) weight.

    A is conducted as its neighbours are, from another P. F and f share the ventricles between two sources: the ordinary
    conduction and a PVC's focus, or the pacemaker and the ordinary conduction.
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
    """One shape at the beats `r_s`: (num_samples, leads). T moves with the root of RR (Bazett), as in ECGSYN."""
    size = (len(r_s), len(shape.centres_s))
    delay = np.where(shape.repolarises, np.clip(np.sqrt(rr_s / 0.85), 0.8, 1.15)[:, None], 1.0)
    centres_s = r_s[:, None] + shape.centres_s * delay + rng.normal(0.0, 0.0015, size)
    widths_s = shape.widths_s * rng.normal(1.0, 0.03, size)
    amplitudes_mv = gain[:, None, None] * shape.amplitudes_mv
    return _sum_of_gaussians(
        centres_s.ravel(), widths_s.ravel(), amplitudes_mv.reshape(-1, len(LEADS)), num_samples
    )


def _sum_of_gaussians(
    centres_s: np.ndarray, widths_s: np.ndarray, amplitudes_mv: np.ndarray, num_samples: int
) -> np.ndarray:
    """Each Gaussian is drawn only where it is not zero, then all are added up lead by lead."""
    reach = int(np.ceil(_REACH * widths_s.max(initial=0.0) * FS_HZ))
    samples = np.round(centres_s * FS_HZ).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    bumps = np.exp(-0.5 * ((samples / FS_HZ - centres_s[:, None]) / widths_s[:, None]) ** 2)
    inside = (samples >= 0) & (samples < num_samples)
    leads = [
        np.bincount(samples[inside], (bumps * amplitude_mv[:, None])[inside], minlength=num_samples)
        for amplitude_mv in amplitudes_mv.T
    ]
    return np.stack(leads, axis=1)


def _draw_noise_mv(
    patient: VirtualPatient, breath: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Baseline wander (breath and slow drift), muscle noise that swells and fades, mains hum: (num_samples, leads)."""
    num_samples, leads = len(breath), len(LEADS)
    time_s = np.arange(num_samples) / FS_HZ
    knots = rng.normal(
        size=(int(time_s[-1] / 4) + 2, 2 * leads)
    )  # every four seconds: drift, muscle activity
    slow = np.stack(
        [np.interp(time_s, 4 * np.arange(len(knots)), column) for column in knots.T], axis=1
    )
    wander = slow[:, :leads] + rng.uniform(0.2, 0.6, leads) * breath[:, None]
    muscle = np.exp(0.6 * slow[:, leads:]) * rng.normal(size=(num_samples, leads))
    mains = np.sin(2 * np.pi * _MAINS_HZ * time_s[:, None] + rng.uniform(0, 2 * np.pi, leads))
    level_mv = patient.noise_mv
    return level_mv["wander"] * wander + level_mv["muscle"] * muscle + level_mv["mains"] * mains
