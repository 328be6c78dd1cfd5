"""`ecgexp-doctor --clean`: shows what caches and run folders take, and frees what is named."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.cli.arguments import Parser, whole
from ecgexp.console import Console
from ecgexp.settings.declaration import ConfigError, DataError

if TYPE_CHECKING:
    from ecgexp.analysis.disk_use import Item

OPTIONS = ("clean", "free", "older_than", "with_sweeps", "cache_dir", "yes")
_KINDS = {"cache": "preprocessed beats", "runs": "run folders"}


def add_options(parser: Parser) -> None:
    """Adds the options of `--clean`."""
    add = parser.add_argument
    add("--clean", action="store_true", help="show what caches and run folders take on the disk")
    add(
        "--free",
        choices=(*_KINDS, "all"),
        help="with --clean: remove these, after a question; what must stay is kept and explained",
    )
    add(
        "--older-than",
        type=whole(0, 100_000),
        metavar="DAYS",
        help="with --free runs: only runs that ended before (must be given)",
    )
    add(
        "--with-sweeps",
        action="store_true",
        help="with --free runs: also jobs of finished sweeps, which their command trains again",
    )
    add(
        "--cache-dir",
        type=Path,
        default=Path(os.environ.get("ECGEXP_CACHE", ".cache")),
        metavar="DIR",
        help="data.cache_dir= of the runs (ECGEXP_CACHE, else .cache)",
    )
    add("--yes", action="store_true", help="with --free: remove without a question")


def clean(options: argparse.Namespace) -> int:
    """Shows what takes space, and removes what the options name.

    Args:
      options: those of `add_options`, `runs_dir` and `store`.

    Returns:
      0.

    Raises:
      ConfigError: options do not fit together.
      DataError: something cannot be removed.
    """
    from ecgexp.analysis.disk_use import disk_use
    from ecgexp.tracking.mlflow.existing_store import default_uri
    from ecgexp.tracking.settings import MlflowTracking

    if options.free in ("runs", "all") and options.older_than is None:
        raise ConfigError(
            f"--free {options.free}: removes run folders, so say which; use --older-than DAYS"
        )
    items = disk_use(
        cache_dir=options.cache_dir,
        runs_dir=options.runs_dir,
        uri=options.store,
        private_dir=MlflowTracking(uri=options.store or default_uri()).private_dir(),
        with_sweeps=options.with_sweeps,
    )
    console = Console()
    _show(items, console)
    if options.free is None:
        console.print_result(
            "nothing was removed; use --free cache, or --free runs --older-than DAYS"
        )
        return 0
    chosen = [item for item in items if _is_chosen(item, options)]
    size = sum(item.size for item in chosen)
    if not chosen:
        console.print_result("there is nothing to remove")
    elif options.yes or _confirmed(f"remove {len(chosen)} items, {size_text(size)}? [y/N] "):
        _remove(chosen, console)
        console.print_result(f"removed {len(chosen)} items, {size_text(size)}")
    else:
        console.print_result(
            f"nothing was removed; {len(chosen)} items, {size_text(size)}, would be: add --yes"
        )
    return 0


def size_text(size: int) -> str:
    """Formats a number of bytes: `0 MB`, `12 MB`, `3.4 GB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _show(items: Sequence["Item"], console: Console) -> None:
    from ecgexp.analysis.disk_use import totals

    for kind, (number, size, free) in totals(items).items():
        console.print_result(
            f"{_KINDS[kind]}: {number} items, {size_text(size)}, of which {size_text(free)} may "
            "be removed"
        )
        reasons = Counter(item.kept for item in items if item.kind == kind and item.kept)
        for reason, count in reasons.most_common():
            console.print_result(f"  kept: {count}, {reason}")
    console.print_result(
        "the private folder of the store (privacy losses, evaluations on test beats) and the "
        "folders of sweeps are never removed; wheels of logged models are part of the models"
    )


def _is_chosen(item: "Item", options: argparse.Namespace) -> bool:
    if item.kept or options.free not in (item.kind, "all"):
        return False
    return item.kind != "runs" or item.age_days >= options.older_than


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _remove(items: Sequence["Item"], console: Console) -> None:
    from ecgexp.analysis.disk_use import remove

    for item in items:
        try:
            remove(item)
        except OSError as error:
            raise DataError(
                f"{item.path}: it cannot be removed ({error.strerror}); make it writable"
            ) from error
        console.print_result(f"removed {item.path}")
