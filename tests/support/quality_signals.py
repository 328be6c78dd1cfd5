"""Segments of 10 s whose quality indices NeuroKit2 computed; NumPy alone."""

import numpy as np

HZ = 360.0


def ecg_mv(seconds: float = 10.0, *, rr_s: float = 0.8) -> np.ndarray:
    """Return a lead with a QRS complex of 1 mV and a T wave every `rr_s`, and little noise.

    Args:
      seconds: Its length.
      rr_s: RR interval.

    Returns:
      (seconds * 360,) float64, millivolts.
    """
    times = np.arange(round(seconds * HZ)) / HZ
    phase = times % rr_s
    peak = min(0.3, rr_s / 2)
    waves = np.exp(-(((phase - peak) / 0.012) ** 2))
    waves += 0.25 * np.exp(-(((phase - peak - 0.25) / 0.05) ** 2))
    return waves + 0.01 * np.random.default_rng(0).normal(size=len(times))


def noise_mv(lead_mv: np.ndarray, decibels: float) -> np.ndarray:
    """Return white noise whose power is that of the lead, or so many decibels less."""
    noise = np.random.default_rng(1).normal(size=len(lead_mv))
    return noise * lead_mv.std() / 10 ** (decibels / 20)


def segments() -> dict[str, np.ndarray]:
    """Return name -> (3600,) float64, millivolts."""
    lead = ecg_mv()
    times = np.arange(len(lead)) / HZ
    return {
        "clean": lead,
        "slow": ecg_mv(rr_s=1.6),
        "fast": ecg_mv(rr_s=0.45),
        "wander": lead + np.sin(2 * np.pi * 0.3 * times),
        "slight wander": lead + 0.2 * np.sin(2 * np.pi * 0.3 * times),
        "noise at 6 dB": lead + noise_mv(lead, 6),
        "noise at 0 dB": lead + noise_mv(lead, 0),
        "only noise": noise_mv(lead, 0),
        "a wide wave": np.sin(2 * np.pi * 2 * times),
    }
