"""Write a folder of recordings of virtual patients in every format that is read, to try commands.

    uv run python scripts/make_mixed_folder.py recordings

27 recordings of 26 patients: WFDB in formats 8 to 524, of 12 leads at 250 Hz and 2 leads at 128 Hz,
with several samples per frame, skew, no length, segments, and labels in notes; EDF, EDF+ with and
without gaps, BDF+; CSV. `patients.csv` in the folder names the patient of each. Scores on them mean
nothing: the recordings are synthetic.
"""

import argparse
import sys
from pathlib import Path

from ecgexp.cli.streams import command

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from mixed_folder import write_mixed_folder  # noqa: E402


@command
def main() -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder to be written, empty or missing")
    parser.add_argument(
        "--seconds", type=int, default=60, help="length of each, a multiple of 10 from 30 on"
    )
    options = parser.parse_args()
    if options.seconds < 30 or options.seconds % 10:
        parser.error(f"--seconds={options.seconds}: use a multiple of 10 from 30 on")
    if options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"{options.folder}: it is not empty; use a new folder")
    made = write_mixed_folder(options.folder, seconds=options.seconds)
    print(f"{options.folder}: {len(made)} recordings, {sum(len(one.beats) for one in made)} beats")
    return 0


if __name__ == "__main__":
    sys.exit(main())
