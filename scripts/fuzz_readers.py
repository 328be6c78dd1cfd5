"""Spoils small sound records in every way it knows and watches what the readers make of them.

    uv run python scripts/fuzz_readers.py --inputs 100000 --seed 0
    uv run python scripts/fuzz_readers.py --only 4711        # one input again, with its story

Headers, signal files in five formats, annotation files, Kaggle's CSV and its annotations are spoilt: bytes, lines, numbers,
encodings, control words, whole files put in place of one another. An input depends on the seed and its number alone. Each
must end in one of three ways, within a limit of time and memory:

- the beats of the sound record, sample for sample: what was changed does not matter;
- a `DataError`, in one line that names a file;
- other beats that *nothing* in the files contradicts. A header covers its signals by a length, a first value and a 16-bit
  sum; nothing covers the header's own gains and lead names, a CSV's values, or the annotations: a symbol's code changed to
  another's is a valid file of another heart. Such inputs are counted by themselves. They pass as such only if a second
  reader, written from the format's specification and sharing no code with the first (`fuzzing/plain_reading.py`), finds the
  very same beats, and if `dataset.verify=published`, which compares SHA-256, refuses them.

Anything else is a finding: another exception, a dead process, a hang, too much memory, beats that differ for no reason. It is
kept in a folder of `--findings` with its files and its story, and the exit code is 1.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

for _name in (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
):  # before numpy: threads cost address space
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parent))

from fuzzing.corpus import Case, fingerprint, make_cases  # noqa: E402
from fuzzing.judge import (  # noqa: E402
    BEYOND,
    FINDING,
    REFUSED,
    TRUE,
    Verdict,
    check_sound,
    own_files,
    try_input,
)
from fuzzing.mutations import mutate  # noqa: E402
from fuzzing.watch import Limits, run  # noqa: E402

from ecgexp.cli.streams import command  # noqa: E402

_KEPT_OF_A_KIND = 5


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all of them (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="stop after these (no limit)"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes (%(default)s)"
    )
    parser.add_argument(
        "--limit-s", type=float, default=10.0, help="seconds an input may take (%(default)s)"
    )
    parser.add_argument(
        "--memory-mib", type=int, default=512, help="memory an input may take (%(default)s)"
    )
    parser.add_argument(
        "--findings",
        type=Path,
        default=Path("outputs/fuzz"),
        help="where they are kept (%(default)s)",
    )
    parser.add_argument("--only", type=int, help="this input alone, here, shown in full")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that its processes are ended
    cases = make_cases()
    for case in cases:
        check_sound(case)
    if given.only is not None:
        return _show(cases, given.seed, given.only, given.findings)
    return _run_all(cases, given)


def _run_all(cases: tuple[Case, ...], given: argparse.Namespace) -> int:
    outcomes: Counter[str] = Counter()
    by_case: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    began = time.monotonic()
    limits = Limits(seconds=given.limit_s, memory_mib=given.memory_mib)
    numbers = range(given.first, given.first + given.inputs)
    verdicts = run(
        cases,
        seed=given.seed,
        numbers=numbers,
        workers=given.workers,
        limits=limits,
        until=began + given.seconds,
    )
    for number, verdict in verdicts:
        if verdict is None or verdict.outcome == FINDING:
            verdict = _with_files(cases, given.seed, number, verdict)
            kinds[verdict.kind] += 1
            if kinds[verdict.kind] <= _KEPT_OF_A_KIND:
                _keep(verdict, given.seed, number, given.findings)
        outcomes[verdict.outcome] += 1
        by_case[verdict.case, verdict.outcome] += 1
    seconds = time.monotonic() - began
    total = sum(outcomes.values())
    print(
        f"{total} inputs of seed {given.seed} in {seconds:.0f} s, {total / seconds:.0f} a second by {given.workers} processes"
    )
    print(f"sound records: sha256 {fingerprint(cases)[:16]}")
    print(f"{'':24}" + "".join(f"{outcome:>18}" for outcome in (REFUSED, TRUE, BEYOND, FINDING)))
    for name in [*(case.name for case in cases)]:
        print(
            f"{name:24}"
            + "".join(
                f"{by_case[name, outcome]:>18}" for outcome in (REFUSED, TRUE, BEYOND, FINDING)
            )
        )
    print(
        f"{'all':24}"
        + "".join(f"{outcomes[outcome]:>18}" for outcome in (REFUSED, TRUE, BEYOND, FINDING))
    )
    for kind, times in kinds.most_common():
        print(f"{times:>8}  {kind}")
    return 1 if kinds else 0


def _with_files(
    cases: tuple[Case, ...], seed: int, number: int, verdict: Verdict | None
) -> Verdict:
    """A finding's files, made once more; for one whose process is gone they are not read again."""
    import numpy as np

    case = cases[number % len(cases)]
    files, story = mutate(case.files, own_files(case), np.random.default_rng([seed, number]))
    found = verdict or Verdict(
        outcome=FINDING, kind="a hang or a crash", files={}, story=[], case=case.name
    )
    return Verdict(
        outcome=FINDING,
        kind=found.kind,
        detail=found.detail,
        files=files,
        story=story,
        case=case.name,
    )


def _keep(verdict: Verdict, seed: int, number: int, findings: Path) -> None:
    folder = findings / f"{seed}-{number}"
    (folder / "files").mkdir(parents=True, exist_ok=True)
    for name, content in verdict.files.items():
        if isinstance(content, bytes):
            (folder / "files" / name).write_bytes(content)
    about = {
        "seed": seed,
        "input": number,
        "case": verdict.case,
        "kind": verdict.kind,
        "story": verdict.story,
    }
    (folder / "finding.json").write_text(
        json.dumps(about | {"detail": verdict.detail}, indent=2), encoding="utf-8"
    )
    print(f"input {number} ({verdict.case}): {verdict.kind}; see {folder}", flush=True)


def _show(cases: tuple[Case, ...], seed: int, number: int, findings: Path) -> int:
    folder = findings / f"{seed}-{number}-again"
    folder.mkdir(parents=True, exist_ok=True)
    verdict = try_input(cases, seed, number, folder)
    print(
        f"{verdict.case}: {', '.join(verdict.story)}\n{verdict.outcome} {verdict.kind}\n{verdict.detail}"
    )
    return 1 if verdict.outcome == FINDING else 0


if __name__ == "__main__":
    sys.exit(main())
