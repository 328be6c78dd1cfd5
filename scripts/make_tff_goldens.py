"""Compute, with TFF's own executor, the federated rounds that tests compare this project's to.

    uv run python scripts/make_tff_goldens.py [--check]

Writes `tests/support/tff_goldens.npz` and `.json`, from the cases of `golden_cases.py` beside them.
Use it when a case is new, or when the batches of clients change on purpose. `--check` compares with
the stored values and writes nothing.

**Security**: TFF starts its executor as a second process, which listens on all network interfaces
without authentication and executes whatever it receives. Use this script only on a machine that
others cannot reach. Nothing else in this project starts the executor.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tensorflow_federated as tff

from ecgexp.augmentation import NoAugmentation
from ecgexp.cli.streams import command
from ecgexp.seeding import Seeds
from ecgexp.training.federated import rounds
from ecgexp.training.federated.algorithms import build_process
from ecgexp.training.federated.batches import ClientBatches
from ecgexp.training.federated.client_model import ClientModel
from ecgexp.training.federated.runtimes.base import put_in_weights, weights_of
from ecgexp.training.federated.trainer import Federated

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import golden_cases  # noqa: E402
from clients import build, client_data, loss  # noqa: E402

_CLOSE = 5e-6  # of weights; the order of sums differs from run to run
_PACKAGES = ("tensorflow-federated", "tensorflow", "tensorflow-privacy", "numpy")


class CppExecutor:
    """A `Runtime` that executes each round in TFF's current context."""

    def __init__(self, process: tff.learning.templates.LearningProcess):
        self._process = process

    def initialize(self, weights: Sequence[np.ndarray]) -> Any:
        """See `Runtime.initialize`."""
        return put_in_weights(self._process.initialize(), weights)

    def next(self, state: Any, datasets: Sequence[Any]) -> tuple[Any, Mapping[str, Any]]:
        """See `Runtime.next`."""
        output = self._process.next(state, list(datasets))
        return output.state, output.metrics

    def weights(self, state: Any) -> list[np.ndarray]:
        """See `Runtime.weights`."""
        return weights_of(state)

    def close(self) -> None:
        """See `Runtime.close`; the executor stays for the next case."""


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with the stored values, and write nothing"
    )
    check = parser.parse_args().check
    with _executor():
        weights, start, facts = _compute(golden_cases.read()[1] if check else None)
    if check:
        _compare(weights)
        return
    np.savez_compressed(
        golden_cases.WEIGHTS,
        **{f"start/{index}": array for index, array in enumerate(start)},
        **weights,
    )
    golden_cases.FACTS.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    sizes = [
        f"{path.name} ({path.stat().st_size} bytes)"
        for path in (golden_cases.WEIGHTS, golden_cases.FACTS)
    ]
    print(f"{len(weights)} cases written to {' and '.join(sizes)}")


@contextlib.contextmanager
def _executor() -> Iterator[None]:
    """Run TFF in its C++ executor within the block; end the executor's process after it."""
    # The only context of TFF that simulates secure sums.
    tff.backends.test.set_sync_test_cpp_execution_context()
    rounds.InProcess = CppExecutor
    try:
        yield
    finally:
        for child in psutil.Process().children():
            child.kill()


def _compute(
    start: list[np.ndarray] | None,
) -> tuple[dict[str, np.ndarray], list[np.ndarray], dict[str, Any]]:
    data = client_data()
    start = start or build(golden_cases.MODEL).get_weights()
    weights, cases = {}, {}
    for name, settings in golden_cases.CASES.items():
        taken = golden_cases.train_case(data, settings, start)
        weights[name] = np.stack([golden_cases.flat(progress.weights()) for progress in taken])
        cases[name] = {
            "settings": settings,
            "metrics": [dict(progress.train_metrics) for progress in taken],
        }
        print(name, flush=True)
    for name, settings in golden_cases.CLIPPED.items():
        weights[name] = np.stack(list(_clipped_by_tff(data, settings, start)))
        cases[name] = {"settings": settings}
        print(name, flush=True)
    made_with = {package: metadata.version(package) for package in _PACKAGES}
    return weights, start, {"made_with": made_with, "seed": 0, "cases": cases}


def _clipped_by_tff(
    data: Any, settings: Mapping[str, Any], start: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """Yield the weights after each round of a case of `CLIPPED`, clipped by TFF, without noise."""
    clients = sorted(data.clients)
    trainer = Federated(client_batch_size=16, client_learning_rate=0.1)  # as `clients.train` has it
    batches = ClientBatches(
        data, NoAugmentation(), clients, client_epochs=1, batch_size=16, seeds=Seeds(0)
    )
    clip, count = settings["privacy"]["l2_norm_clip"], float(len(clients))
    factory = tff.aggregators.DifferentiallyPrivateFactory
    aggregator = (
        factory.gaussian_adaptive(
            0.0,
            count,
            initial_l2_norm_clip=clip,
            target_unclipped_quantile=trainer.clipping_quantile,
            learning_rate=trainer.clipping_rate,
        )
        if settings.get("clipping") == "adaptive"
        else factory.gaussian_fixed(0.0, count, clip)
    )

    def client_model() -> ClientModel:
        return ClientModel(
            build(golden_cases.MODEL), loss(), NoAugmentation().build(), batches.spec, len(clients)
        )

    runtime = CppExecutor(build_process(trainer, client_model, aggregator, weighted=False))
    state = runtime.initialize(start)
    for round_num in range(1, golden_cases.NUM_ROUNDS + 1):
        state, _ = runtime.next(state, [batches.dataset(client, round_num) for client in clients])
        yield golden_cases.flat(runtime.weights(state))


def _compare(weights: Mapping[str, np.ndarray]) -> None:
    stored, _, _ = golden_cases.read()
    if weights.keys() != stored.keys():
        raise SystemExit(
            f"--check: other cases are stored, {sorted(weights.keys() ^ stored.keys())}; use this "
            "script without --check"
        )
    differences = {name: float(np.abs(weights[name] - stored[name]).max()) for name in weights}
    for name, most in differences.items():
        print(f"{name}: {most:.1e}")
    if max(differences.values()) > _CLOSE:
        raise SystemExit(
            "--check: these cases differ from the stored values: "
            + ", ".join(name for name, most in differences.items() if most > _CLOSE)
        )


if __name__ == "__main__":
    sys.exit(main())
