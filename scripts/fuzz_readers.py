"""Fuzz the readers of recordings: mutate small valid records and check what the readers return.

    uv run python scripts/fuzz_readers.py --inputs 100000 --seed 0
    uv run python scripts/fuzz_readers.py --only 4711        # one input again, with its mutations

Headers, signal files in five formats, annotation files, Kaggle's CSV and its annotations are
mutated: bytes, lines, numbers, encodings, control words, and whole files that replace one another.
An input depends only on the seed and its number. Each input must end in one of three ways, within
limits of time and memory:

- the beats of the valid record, sample for sample, because the mutation has no effect;
- a `DataError` of one line that names a file;
- other beats that nothing in the files contradicts. A header protects its signals by a length, a
  first value and a 16-bit checksum. Nothing protects the gains and lead names of the header, the
  values of a CSV file, or the annotations: if the code of one symbol is replaced by another, the
  file is a valid file of another patient. Such inputs are counted separately. They are accepted
  only if a second reader, written from the specification of the format without shared code
  (`fuzzing/plain_reading.py`), finds the same beats, and if `dataset.verify=published`, which
  compares SHA-256, rejects them.

Anything else is a finding: another exception, a crash, a hang, too much memory, or beats that
differ without a reason. It is stored in a folder of `--findings` with its files and mutations, and
the exit code is 1.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before numpy: threads use address space
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parent))

from fuzzing.corpus import Case, fingerprint, make_cases  # noqa: E402
from fuzzing.mutations import mutate  # noqa: E402
from fuzzing.verdicts import (  # noqa: E402
    BEYOND,
    FINDING,
    REFUSED,
    TRUE,
    Verdict,
    check_readers_agree,
    own_files,
    try_input,
)
from fuzzing.watch import Limits, run  # noqa: E402

from ecgexp.cli.streams import command  # noqa: E402

_KEPT_OF_A_KIND = 5


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--inputs", type=int, default=100_000, help="number of inputs (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all inputs (%(default)s)")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first input (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="stop after this time (no limit)"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="number of processes (%(default)s)"
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
        help="folder for findings (%(default)s)",
    )
    parser.add_argument(
        "--only", type=int, help="run only this input, in this process, and print the details"
    )
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that its processes are ended
    cases = make_cases()
    for case in cases:
        check_readers_agree(case)
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
        f"{total} inputs of seed {given.seed} in {seconds:.0f} s, {total / seconds:.0f} per second "
        f"with {given.workers} processes"
    )
    print(f"valid records: sha256 {fingerprint(cases)[:16]}")
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
    """Return a finding with its files, which are made again but not read again."""
    import numpy as np

    case = cases[number % len(cases)]
    files, mutations = mutate(case.files, own_files(case), np.random.default_rng([seed, number]))
    found = verdict or Verdict(
        outcome=FINDING, kind="a hang or a crash", files={}, mutations=[], case=case.name
    )
    return Verdict(
        outcome=FINDING,
        kind=found.kind,
        detail=found.detail,
        files=files,
        mutations=mutations,
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
        "mutations": verdict.mutations,
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
        f"{verdict.case}: {', '.join(verdict.mutations)}\n"
        f"{verdict.outcome} {verdict.kind}\n{verdict.detail}"
    )
    return 1 if verdict.outcome == FINDING else 0


if __name__ == "__main__":
    sys.exit(main())
