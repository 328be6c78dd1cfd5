"""Comparison of a resumed run with an uninterrupted one: results, MLflow, files, secrets."""

import hashlib
import json
import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from ecgexp.tracking.mlflow.headline import headline

_IDS = re.compile(r"\b(m-)?[0-9a-f]{32}\b|[0-9]{20}-[0-9a-f]{8}(?=\.json)")
# Logs, to which a resumed run adds lines, and digests of source files, whose time differs.
_MAY_DIFFER = re.compile(r"log|ecgexp\.log|digests-[0-9a-f]+\.json")


def result(folder: Path) -> dict[str, Any]:
    """Returns a run's `result.json` without resources, and without the keyed digest of the data."""
    values = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    values["metrics"] = {
        name: value
        for name, value in values["metrics"].items()
        if not name.startswith("resources/")
    }
    values["data"] = {
        name: value for name, value in (values["data"] or {}).items() if name != "digest"
    }
    return values


def weights(folder: Path) -> str:
    """Returns the SHA-256 of a run's final weights."""
    return hashlib.sha256((folder / "model" / "weights.safetensors").read_bytes()).hexdigest()


def points(folder: Path) -> list[str]:
    """Returns all points of all curves of a run, sorted."""
    return sorted(
        f"{name} {line['step']} {value!r}"
        for line in _lines(folder)
        for name, value in line["metrics"].items()
        if "resources" not in name
    )


def differences(whole: Path, run: Path, *, has_fresh_noise: bool = False) -> list[str]:
    """Returns the differences between a resumed run and an uninterrupted one.

    Args:
      whole: folder of the uninterrupted run.
      run: folder of the resumed run.
      has_fresh_noise: whether noise differs between runs. Then only the steps, ε and the epochs or
        rounds of the curves are compared; ε must be larger if steps were discarded, and equal
        otherwise.
    """
    then, now = result(whole), result(run)
    if not has_fresh_noise:
        keys = ("status", "metrics", "undefined", "selection", "data", "privacy")
        found = [f"other {key}" for key in keys if then[key] != now[key]]
        found += ["other weights"] if weights(whole) != weights(run) else []
        return found + (["other points"] if points(whole) != points(run) else [])
    found, was, got = [], then["privacy"], now["privacy"]
    discarded = got.get("discarded_steps", 0)
    if was["steps"] != got["steps"]:
        found.append(f"{got['steps']} steps instead of {was['steps']}")
    if got["epsilon"] < was["epsilon"] or (got["epsilon"] > was["epsilon"]) != (discarded > 0):
        found.append(f"ε {got['epsilon']} with {discarded} discarded steps, not {was['epsilon']}")
    steps = [sorted({line["step"] or 0 for line in _lines(folder)}) for folder in (whole, run)]
    return found + (["points of other epochs or rounds"] if steps[0] != steps[1] else [])


def store_faults(database: Path, folders: list[Path]) -> list[str]:
    """Returns faults of the store: missing or repeated entries, and runs shown as running."""
    faults = []
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    status = dict(db.execute("SELECT run_uuid, status FROM runs"))
    if running := [
        run for run, state in status.items() if state not in ("FINISHED", "KILLED", "FAILED")
    ]:
        faults.append(f"{len(running)} runs are RUNNING in MLflow")
    for folder in folders:
        stored_run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        run = stored_run["run_id"]
        if status.get(run) != "FINISHED":
            faults.append(f"{folder.name}: {status.get(run)} in MLflow")
            continue
        if not stored_run["store"]["whole"]:
            faults.append(f"{folder.name}: MLflow is incomplete according to run.json")
        if dict(db.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run,))).get(
            "status.reason"
        ):
            faults.append(f"{folder.name}: has a status.reason")
        stored = list(
            db.execute(
                "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND NOT is_nan", (run,)
            )
        )
        expected = [
            (name, line["step"] or 0, value)
            for line in _lines(folder)
            for name, value in headline(line["metrics"]).items()
            if value is not None
        ]
        if Counter(stored) != Counter(expected):
            faults.append(
                f"{folder.name}: {len(stored)} points in MLflow, {len(expected)} in the folder"
            )
        (uri,) = db.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run,)).fetchone()
        kept = Path(uri.removeprefix("file://"))
        for name in stored_run["artifacts"]:
            if (
                not (kept / name).is_file()
                or (kept / name).read_bytes() != (folder / name).read_bytes()
            ):
                faults.append(f"{folder.name}: {name} is missing or different in MLflow")
        models = db.execute(
            "SELECT count(*) FROM logged_models WHERE source_run_id = ?", (run,)
        ).fetchone()[0]
        if (folder / "model").is_dir() and models != 1:
            faults.append(f"{folder.name}: {models} models in MLflow")
    db.close()
    return faults


def listing(home: Path) -> set[str]:
    """Returns all files and folders below `home`, with ids replaced."""
    paths = (path.relative_to(home) for path in home.rglob("*"))
    return {
        _IDS.sub("ID", path.as_posix()) for path in paths if not _MAY_DIFFER.fullmatch(path.name)
    }


def litter(home: Path) -> list[str]:
    """Returns files that a run must not leave: partial files, checkpoints, temporary files."""
    return sorted(
        path.relative_to(home).as_posix()
        for path in home.rglob("*")
        if path.name.endswith(".part") or "checkpoints" in path.parts or path.parent == home / "tmp"
    )


def damaged(home: Path) -> list[str]:
    """Returns files with their final name that are incomplete, after a kill."""
    faults = []
    for path in [path for path in home.rglob("*.json") if not path.name.startswith(".")]:
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            faults.append(f"{path.relative_to(home)}: {error}")
    return faults


def secrets_in(home: Path, secret: str) -> list[str]:
    """Returns the files below `home` that contain the secret."""
    files = (path for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    return [str(path.relative_to(home)) for path in files if secret.encode() in path.read_bytes()]


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
