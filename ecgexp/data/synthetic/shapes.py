"""Shapes of the beats of virtual patients, before variation between patients: tables of Gaussians.

A beat is a sum of Gaussians, one for each deflection, as in ECGSYN (McSharry, Clifford, Tarassenko
& Smith 2003, IEEE Trans. Biomed. Eng. 50(3):289-294). ECGSYN places them on the phase of a limit
cycle and integrates. Between two R peaks the phase is proportional to time, so here they are placed
in time, without a differential equation and for all beats at once.

The values follow textbook descriptions of each beat (QRS of 80-100 ms for N, above 120 ms for
bundle branch block, PVC and paced beats, T discordant to a wide QRS, rsR' in V1 for R, notched R
without Q for L); no recording was used.
"""

from dataclasses import dataclass

import numpy as np

LEADS = ("MLII", "V1", "V2", "V5")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The Gaussians of one part of a beat; time zero is the annotated R peak.

    Attributes:
      centers_s: (waves,) float64, seconds after the R peak.
      widths_s: (waves,) float64, standard deviations in seconds.
      amplitudes_mv: (waves, leads) float64, millivolts, in the order of `LEADS`.
      is_t_wave: (waves,) bool, True for the T wave, whose delay depends on the RR interval.
    """

    centers_s: np.ndarray
    widths_s: np.ndarray
    amplitudes_mv: np.ndarray
    is_t_wave: np.ndarray


def _shape(*waves: tuple[float, ...]) -> Shape:
    """Create a shape from rows of (center in ms, width in ms, MLII, V1, V2, V5 in mV).

    Waves with a center of 150 ms or more are T waves.
    """
    table = np.array(waves)
    return Shape(
        centers_s=table[:, 0] / 1000,
        widths_s=table[:, 1] / 1000,
        amplitudes_mv=table[:, 2:],
        is_t_wave=table[:, 0] >= 150,
    )


# Parts of beats; `ecgexp.data.synthetic.signal` combines them into the beats of each symbol.
SHAPES = {
    "sinus P": _shape((-168, 17, 0.10, 0.06, 0.09, 0.08), (-146, 16, 0.08, -0.03, 0.03, 0.06)),
    # An ectopic atrial focus: another axis, closer to the QRS.
    "ectopic P": _shape((-128, 12, -0.14, 0.11, 0.10, -0.10)),
    "N": _shape(
        (-27, 8, -0.12, 0.16, 0.28, -0.10),
        (0, 10, 1.20, -0.35, -0.30, 1.35),
        (24, 10, -0.25, -0.60, -1.10, -0.32),
        (215, 52, 0.14, -0.03, 0.22, 0.16),
        (262, 34, 0.17, -0.03, 0.25, 0.19),
    ),
    "L": _shape(
        (-22, 17, 0.72, -0.55, -0.80, 0.75),
        (6, 20, 0.30, -0.50, -0.70, 0.30),
        (38, 18, 0.78, -0.60, -0.80, 0.85),
        (110, 45, -0.08, 0.12, 0.18, -0.10),
        (255, 50, -0.30, 0.30, 0.45, -0.32),
    ),
    "R": _shape(
        (-26, 8, -0.08, 0.20, 0.30, -0.06),
        (0, 10, 1.00, -0.40, -0.35, 1.10),
        (46, 19, -0.38, 0.85, 0.55, -0.42),
        (215, 52, 0.12, -0.12, -0.10, 0.15),
        (262, 36, 0.14, -0.14, -0.10, 0.17),
    ),
    # A focus in the right ventricle, with late activation of the left one: upright in MLII,
    # negative in V1.
    "V right": _shape(
        (-20, 26, 0.80, -0.60, -0.80, 0.60),
        (22, 28, 1.00, -0.80, -1.00, 0.50),
        (105, 40, -0.12, 0.12, 0.15, -0.08),
        (275, 58, -0.48, 0.42, 0.50, -0.32),
    ),
    # A focus in the left ventricle: negative in MLII (from below), positive in V1.
    "V left": _shape(
        (-28, 18, 0.25, 0.50, 0.50, 0.35),
        (20, 30, -1.25, 0.95, 0.90, -0.80),
        (105, 40, 0.12, -0.10, -0.12, 0.10),
        (280, 58, 0.46, -0.40, -0.42, 0.40),
    ),
    # Paced from the apex of the right ventricle: a spike, then a wide QRS away from MLII and V1.
    "spike": _shape((-62, 1.6, 0.55, -0.45, -0.50, 0.50)),
    "/": _shape(
        (-12, 22, -0.45, -0.50, -0.70, -0.30),
        (32, 26, -0.75, -0.65, -0.85, -0.60),
        (110, 42, 0.10, 0.10, 0.14, 0.10),
        (275, 56, 0.42, 0.36, 0.48, 0.36),
    ),
}
