"""Put one fault at a time into a copy of the package, and run the tests that must notice it.

    uv run python scripts/seeded_faults.py [--only NAME …] [--list]

Each fault is a small change of one place: a larger sampling probability, a limit that is not
checked, a test patient that is trained on. A copy of the working tree is made in a temporary
folder, the fault is put into it, and the named tests run there. A fault is caught if one of them
fails that passes without it. A fault whose place is gone, or whose tests cannot be collected, is an
error of this script. Prints a line for each fault and a table; the exit code is 1 unless all are
caught.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ecgexp.cli.streams import command

ROOT = Path(__file__).parents[1]
_COPIED = ("ecgexp", "conf", "tests", "scripts", "pyproject.toml", "README.md")
_PRIVATE_ROUNDS = "tensorflow/training/federated/test_private_rounds.py"
_FAILED = 1  # pytest's exit code for "tests ran and some failed"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One change of the package, and who must notice it.

    Attributes:
      name: what is wrong, in a few words.
      file: in which module, under `ecgexp/`.
      old: the text that is replaced; it stands there once.
      new: what stands there instead.
      tests: files, or tests within them, under `tests/`.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def subject(self) -> str:
        """The module without its ending."""
        return self.file.removesuffix(".py")


FAULTS = (
    Fault(
        name="units are drawn twice as often as ε assumes",
        file="privacy/sampling.py",
        old="< self.plan.sampling_probability",
        new="< 2 * self.plan.sampling_probability",
        tests=("unit/privacy/test_sampling.py",),
    ),
    Fault(
        name="the draw of a private run follows from its seed",
        file="privacy/sampling.py",
        old="if plan.has_privacy_guarantee\n            else rng",
        new="if False\n            else rng",
        tests=("unit/privacy/test_sampling.py",),
    ),
    Fault(
        name="noise of a smaller standard deviation",
        file="privacy/noise.py",
        old="-2.0 * std * std",
        new="-1.9 * std * std",
        tests=("unit/privacy/test_noise.py",),
    ),
    Fault(
        name="a resumed run adds the same noise again",
        file="privacy/noise.py",
        old='int(state["calls"]), self._new_key(), None',
        new="0, self._key, None",
        tests=("unit/privacy/test_noise.py",),
    ),
    Fault(
        name="the limit of ε is not checked",
        file="privacy/ledger.py",
        old="exceeds = wanted > self._affordable[1]",
        new="exceeds = False",
        tests=("unit/privacy/test_ledger.py",),
    ),
    Fault(
        name="discarded steps cost nothing",
        file="privacy/ledger.py",
        old="        if count > 0:\n",
        new="        if count > 10**9:\n",
        tests=("unit/privacy/test_ledger_resume.py",),
    ),
    Fault(
        name="a journal with fewer events than the checkpoint is accepted",
        file="privacy/ledger.py",
        old="if taken < known:",
        new="if False:",
        tests=("unit/privacy/test_journal_damage.py",),
    ),
    Fault(
        name="a run with a known noise seed states a guarantee",
        file="privacy/plan.py",
        old="return self.is_private and not self.is_simulation",
        new="return self.is_private",
        tests=("unit/privacy/test_plan.py", "unit/privacy/test_statement.py"),
    ),
    Fault(
        name="metrics of training beats are published",
        file="privacy/outputs.py",
        old='return self.coverage == "not covered" and self.source == "training beats"',
        new="return False",
        tests=("unit/privacy/test_outputs.py", "unit/tracking/test_withholding.py"),
    ),
    Fault(
        name="gradients are clipped to twice the norm",
        file="clipping/base.py",
        old="shrink * (clip / norms)",
        new="shrink * (2 * clip / norms)",
        tests=("tensorflow/clipping/test_guarantees.py",),
    ),
    Fault(
        name="rows that pad a batch count as units",
        file="training/dp/unit_gradients.py",
        old="np.array([1, 0], np.float32)",
        new="np.array([1, 1], np.float32)",
        tests=("tensorflow/training/test_dp_steps.py", "tensorflow/training/test_dp.py"),
    ),
    Fault(
        name="an update of a client is clipped to twice the norm",
        file="training/federated/dp_query.py",
        old="tf.minimum(one, clip / ",
        new="tf.minimum(one, 2 * clip / ",
        tests=(
            f"{_PRIVATE_ROUNDS}::test_without_noise_the_step_is_the_mean_of_clipped_updates",
            f"{_PRIVATE_ROUNDS}::test_one_more_patient_moves_the_sum_by_at_most_the_clip",
        ),
    ),
    Fault(
        name="the sum of updates is divided by another cohort",
        file="training/federated/dp_query.py",
        old="(total + added) / mechanism.divisor",
        new="(total + added) / (mechanism.divisor + 1)",
        tests=(f"{_PRIVATE_ROUNDS}::test_without_noise_the_step_is_the_mean_of_clipped_updates",),
    ),
    Fault(
        name="a patient of the training set stays in the test set",
        file="data/splits/inter_patient.py",
        old='tuple(name for name in test_records if name != "202")',
        new="test_records",
        tests=("unit/data/test_splits.py",),
    ),
    Fault(
        name="patients in two parts are no leakage",
        file="data/leakage.py",
        old='if split.disjoint != "beat":',
        new='if split.disjoint == "never":',
        tests=("unit/data/test_splits.py",),
    ),
    Fault(
        name="beats of no class get the last class",
        file="data/grouping.py",
        old="np.flatnonzero(labels >= 0)",
        new="np.flatnonzero(labels >= -1)",
        tests=("unit/data/test_grouping.py",),
    ),
    Fault(
        name="cached beats are used whatever their digest",
        file="data/preprocessing/cache.py",
        old="if hashlib.sha256(mapped).hexdigest() != sha256:",
        new="if not sha256:",
        tests=("unit/data/test_cache.py", "faults/test_cache_writers.py"),
    ),
    Fault(
        name="macro F1 averages over classes without beats",
        file="evaluation/metrics.py",
        old="f1[present].mean()",
        new="np.nan_to_num(f1).mean()",
        tests=("unit/evaluation/test_metrics.py",),
    ),
    Fault(
        name="an interval is narrower than its level",
        file="evaluation/bootstrap.py",
        old="tail = 50 * (1",
        new="tail = 100 * (1",
        tests=("unit/evaluation/test_bootstrap.py",),
    ),
    Fault(
        name="a secret in a nested setting is written down",
        file="settings/redaction.py",
        old="_hide(value) if is_secret_name(str(key))",
        new='_hide(value) if str(key) == "password"',
        tests=("unit/settings/test_redaction.py", "unit/tracking/test_contract.py"),
    ),
    Fault(
        name="a resumed training leaves an epoch out",
        file="training/centralized.py",
        old='resume_from.meta["epoch"] + 1',
        new='resume_from.meta["epoch"] + 2',
        tests=("tensorflow/training/test_contract.py::TestCentralized",),
    ),
    Fault(
        name="a cut checkpoint is loaded",
        file="training/checkpointing/store.py",
        old="[:_DIGITS] != digest:",
        new='[:_DIGITS] == "":',
        tests=("unit/training/checkpointing/test_store.py", "faults/test_checkpoint_files.py"),
    ),
)


@command
def main() -> int:
    """Try each fault that was asked for, and print what became of it."""
    options = _parse()
    if options.list:
        print("\n".join(f"{fault.subject}: {fault.name}" for fault in FAULTS))
        return 0
    chosen = [fault for fault in FAULTS if not options.only or fault.subject in options.only]
    console, rows = Console(width=150), []
    with tempfile.TemporaryDirectory(prefix="seeded-faults-") as name:
        copy = Path(name)
        for each in _COPIED:
            _copy(ROOT / each, copy / each)
        for fault in chosen:
            began = time.monotonic()
            found = _try(fault, copy)
            rows.append((fault, found))
            console.print(
                f"{fault.subject}: {fault.name}: {found} · {time.monotonic() - began:.0f} s",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    console.print(_table(rows))
    return int(any(not found.startswith("caught") for _, found in rows))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _try(fault: Fault, copy: Path) -> str:
    """Return `caught by TEST`, `missed`, or what is wrong with the fault itself."""
    file = copy / "ecgexp" / fault.file
    sound = file.read_text(encoding="utf-8")
    if sound.count(fault.old) != 1:
        return f"error: {fault.old!r} stands there {sound.count(fault.old)} times"
    file.write_text(sound.replace(fault.old, fault.new), encoding="utf-8")
    try:
        code, failed, output = _run(fault.tests, copy)
    finally:
        file.write_text(sound, encoding="utf-8")
    if code == _FAILED and failed:
        without, _, _ = _run((failed,), copy)
        return f"caught by {failed}" if without == 0 else f"error: {failed} fails without it, too"
    return "missed" if code == 0 else f"error: pytest ended with {code}: {output[-500:]}"


def _run(tests: tuple[str, ...], copy: Path) -> tuple[int, str, str]:
    """Run tests up to the first failure; return pytest's exit code, the failed test, the output."""
    names = [f"tests/{name}" for name in tests]
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-p", "no:cacheprovider", *names]
    # The folder of the copy comes before the checkout that is installed, also in processes that a
    # test starts.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    failed = lines[0].removeprefix("FAILED tests/").split(" - ")[0] if lines else ""
    return done.returncode, failed, done.stdout + done.stderr


def _table(rows: list[tuple[Fault, str]]) -> Table:
    caught = sum(found.startswith("caught") for _, found in rows)
    table = Table("where", "fault", "found", title=f"{caught} of {len(rows)} faults are caught")
    for fault, found in rows:
        table.add_row(fault.subject, fault.name, found)
    return table


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="MODULE",
        choices=sorted({fault.subject for fault in FAULTS}),
        default=[],
        help="only faults of these modules, e.g. privacy/ledger",
    )
    parser.add_argument("--list", action="store_true", help="print the faults and try none")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
