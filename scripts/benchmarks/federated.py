"""Measure a federated round against a plain TensorFlow loop, Flower and pfl-research.

    uv run python scripts/benchmarks/federated.py [--models cnn1d cnn1d_small] [--python PATH ...]
    uv run python scripts/benchmarks/federated.py --memory [--rounds 200]

FedAvg over equal clients of random beats, all of them in every round. Each variant is a process;
the parent process starts their rounds in turn, so that other load affects all variants. Medians of
the rounds after the first are compared; the first counts from the start of the process. `plain` is
a tf.function over batches gathered by index from resident tensors, one client after another,
averaged in numpy. Memory: the largest sum of the resident sizes of a process and its children;
shared memory is counted in each.

Flower and pfl are incompatible with TensorFlow 2.15, so they train the same network in PyTorch.
Name the interpreters that have them:

    uv venv flower && uv pip install --python flower/bin/python 'flwr[simulation]' torch
    uv venv pfl && uv pip install --python pfl/bin/python pfl torch
    … federated.py --python flower/bin/python pfl/bin/python

Their rounds alternate with a plain loop in TensorFlow, and with one in PyTorch, `torch`. A number
after a name is, for `inprocess`, the number of concurrent clients; for `torch` and `pfl` the number
of PyTorch's threads; for `flower` the number of cores per client (default 2). PyTorch's threads
wait actively, which on a busy machine takes more time than it saves. All variants run on the CPU
unless CUDA_VISIBLE_DEVICES is set; `torch` and `flower` always do.
"""

import argparse
import contextlib
import os
import statistics
import sys

from federated_processes import NEEDS, Child, Row

from ecgexp.cli.streams import command

_TENSORFLOW = ("plain", "inprocess", "inprocess 1", "inprocess 2")
_TORCH = ("torch", "torch 1", "flower", "flower 1", "pfl", "pfl 1")
_MEMORY_AFTER = (10, 50, 100, 200)


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", choices=("cnn1d", "cnn1d_small"), help="default: cnn1d"
    )
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--beats", type=int, help="of each client; default: 1800")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument(
        "--variants",
        nargs="+",
        metavar="NAME",
        help="`plain`, `inprocess 1`, …; `plain` is always there",
    )
    parser.add_argument(
        "--python",
        nargs="+",
        default=[],
        metavar="PATH",
        help="interpreters with flwr or pfl, and torch",
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="measure only the resident size over rounds of inprocess (by default 200 rounds of "
        "cnn1d_small on 100 beats)",
    )
    parser.add_argument("--child", nargs=2, metavar=("VARIANT", "MODEL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    model, beats, rounds = ("cnn1d_small", 100, 200) if options.memory else ("cnn1d", 1800, 5)
    options.models, options.beats = options.models or [model], options.beats or beats
    options.rounds = max(2, options.rounds or rounds)
    known = {*_TENSORFLOW, *_TORCH} | {
        f"{name} {n}" for name in ("inprocess", "torch", "flower", "pfl") for n in range(1, 65)
    }
    if unknown := set(options.variants or ()) - known:
        parser.error(
            f"unknown variant {', '.join(sorted(unknown))}; use "
            f"{', '.join((*_TENSORFLOW, *_TORCH))}, or other numbers"
        )
    if options.child:
        _train(options)
        return
    for model in options.models:
        if options.memory:
            _print_memory(model, options, _memory(model, options))
            continue
        _print(model, options, _rows(model, options))


def _rows(model: str, options: argparse.Namespace) -> list[Row]:
    """Returns a row per variant; each framework is measured together with its own plain loop."""
    asked = options.variants or [*_TENSORFLOW, *(_TORCH if options.python else ())]
    torch = [name for name in asked if name.split()[0] in NEEDS]
    if torch and not {"torch", "torch 1"} & set(torch):
        torch.insert(0, "torch")
    tensorflow = [name for name in asked if name not in ("plain", *torch)]
    rows = _measured(["plain", *tensorflow], model, options) if tensorflow or not torch else []
    if torch:
        plain, *others = _measured(["plain", *torch], model, options)
        rows += [{**plain, "variant": "plain, again" if rows else "plain"}, *others]
    return rows


def _measured(variants: list[str], model: str, options: argparse.Namespace) -> list[Row]:
    """Returns the rows of `variants`; ratios are relative to the first."""
    with contextlib.ExitStack() as stack:
        children = []
        for variant in variants:  # one after another, so that starts do not overlap
            child = stack.enter_context(Child(variant, model, options))
            child.round()
            children.append(child)
        for _ in range(options.rounds - 1):
            for child in children:
                child.round()
    rows = [child.row for child in children]
    _compare(rows[0], rows, "of plain")
    torch = [row for row in rows if row["variant"].split()[0] in NEEDS]
    loops = [row for row in torch if row["variant"].startswith("torch") and "error" not in row]
    if loops:
        _compare(min(loops, key=_median), torch, "of torch")
    return rows


def _compare(base: Row, rows: list[Row], name: str) -> None:
    for row in rows:
        if "error" not in row and "error" not in base:
            row[name] = _median(base) / _median(row)


def _median(row: Row) -> float:
    return statistics.median(row["seconds"])


def _memory(model: str, options: argparse.Namespace) -> list[tuple[int, int]]:
    """(rounds, resident bytes after them) of `inprocess`."""
    found = []
    with Child("inprocess", model, options) as child:
        for round_num in range(1, options.rounds + 1):
            child.round()
            if "error" in child.row:
                raise SystemExit(child.row["error"])
            if round_num in _MEMORY_AFTER or round_num == options.rounds:
                found.append((round_num, child.resident()))
    return found


def _train(options: argparse.Namespace) -> None:
    """Runs a variant in a child process."""
    from federated_pace import Pace, Problem  # beside this script

    variant, model = options.child
    problem = Problem(model, options.clients, options.beats, options.batch, options.rounds)
    pace = Pace(problem)
    name, *rest = variant.split()
    if name == "flower":
        from federated_flower import run

        run(problem, pace, cores=int(rest[0]) if rest else 2)
        return
    if name in ("torch", "pfl") and rest:
        import torch

        torch.set_num_threads(int(rest[0]))
    if name == "pfl":
        from federated_pfl import run

        run(problem, pace)
        return
    if name == "torch":
        from federated_torch import rounds

        steps = rounds(problem)
    else:
        from federated_ecgexp import rounds

        steps = rounds(variant, problem)
    pace.begin()
    for weights in steps:
        pace.finish_round(weights)


def _print(model: str, options: argparse.Namespace, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "variant",
        "examples/s",
        "of plain",
        "of torch",
        "peak MB",
        "first round s",
        title=_title(model, options),
    )
    for row in rows:
        if "error" in row:
            table.add_row(row["variant"], "not measured")
            continue
        ratios = [f"{row[name]:.3f}" if name in row else "" for name in ("of plain", "of torch")]
        speed = options.clients * options.beats / _median(row)
        table.add_row(
            row["variant"],
            f"{speed:,.0f}",
            *ratios,
            f"{row['peak'] / 1e6:,.0f}",
            f"{row['first']:.1f}",
        )
    Console().print(table, _remarks(rows))


def _remarks(rows: list[Row]) -> str:
    """Returns notes: whether the variants trained equal networks, versions, and failures."""
    good = [row for row in rows if "error" not in row]
    failures = [f"{row['variant']}: {row['error']}" for row in rows if "error" in row]
    counts = sorted({row["parameters"] for row in good})
    remarks = ["weights of the network: " + " or, in some, ".join(f"{count:,}" for count in counts)]
    ours = [row for row in good[1:] if row["variant"].split()[0] not in NEEDS]
    if ours and "error" not in rows[0]:
        pairs = [pair for row in ours for pair in zip(row["norms"], rows[0]["norms"], strict=True)]
        apart = max(abs(norm - plain) / (plain or 1) for norm, plain in pairs)
        remarks.append(
            f"their norms after a round differ from plain's by {apart:.0e} at most; masks of "
            "dropout differ too"
        )
    remarks += sorted({row["software"] for row in good if "software" in row})
    return "; ".join(remarks + failures)


def _print_memory(model: str, options: argparse.Namespace, found: list[tuple[int, int]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "rounds", "resident MB", "since the first MB", title=f"inprocess, {_title(model, options)}"
    )
    for rounds, resident in found:
        table.add_row(
            str(rounds), f"{resident / 1e6:,.0f}", f"{(resident - found[0][1]) / 1e6:+,.0f}"
        )
    Console().print(table)


def _title(model: str, options: argparse.Namespace) -> str:
    return (
        f"{model}, {options.clients} clients of {options.beats} beats, batch {options.batch}, "
        f"{os.cpu_count()} cores"
    )


if __name__ == "__main__":
    sys.exit(main())
