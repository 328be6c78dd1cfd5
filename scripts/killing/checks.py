"""What a run that was killed and taken up again is compared by: results, MLflow, files, secrets."""

import hashlib
import json
import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

_IDS = re.compile(r"\b(m-)?[0-9a-f]{32}\b|[0-9]{20}-[0-9a-f]{8}(?=\.json)")
# What a resumed run says beside what others do; and digests of source files, which are kept a minute after these were written.
_MAY_DIFFER = re.compile(r"log|ecgexp\.log|digests-[0-9a-f]+\.json")


def result(folder: Path) -> dict[str, Any]:
    """What a run's `result.json` says, but for the time and memory that it took, and ids and digests of its store."""
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
    """The digest of a run's final weights, bit for bit."""
    return hashlib.sha256((folder / "model" / "weights.safetensors").read_bytes()).hexdigest()


def points(folder: Path) -> list[str]:
    """Every point of every curve of a run, in an order of its own."""
    return sorted(
        f"{name} {line['step']} {value!r}"
        for line in _lines(folder)
        for name, value in line["metrics"].items()
        if "resources" not in name
    )


def differences(whole: Path, run: Path, *, has_fresh_noise: bool = False) -> list[str]:
    """What a run has other than the one that nothing happened to.

    Args:
      whole: the folder of that one.
      run: of the other.
      has_fresh_noise: then only the steps, the ε and the epochs or rounds of the curves can be the same; ε is larger exactly
        where steps were lost, and never smaller.
    """
    then, now = result(whole), result(run)
    if not has_fresh_noise:
        keys = ("status", "metrics", "undefined", "selection", "data", "privacy")
        found = [f"other {key}" for key in keys if then[key] != now[key]]
        found += ["other weights"] if weights(whole) != weights(run) else []
        return found + (["other points"] if points(whole) != points(run) else [])
    found, was, got = [], then["privacy"], now["privacy"]
    lost = next(
        (value for key, value in got.items() if key in ("discarded_steps", "discarded_steps")), 0
    )
    if was["steps"] != got["steps"]:
        found.append(f"{got['steps']} steps instead of {was['steps']}")
    if got["epsilon"] < was["epsilon"] or (got["epsilon"] > was["epsilon"]) != (lost > 0):
        found.append(f"ε {got['epsilon']} with {lost} lost steps instead of {was['epsilon']}")
    steps = [sorted({line["step"] or 0 for line in _lines(folder)}) for folder in (whole, run)]
    return found + (["points of other epochs or rounds"] if steps[0] != steps[1] else [])


def store_faults(database: Path, folders: list[Path]) -> list[str]:
    """What the store lacks of the finished runs in those folders, has twice, or shows as running."""
    faults = []
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    status = dict(db.execute("SELECT run_uuid, status FROM runs"))
    if running := [
        run for run, state in status.items() if state not in ("FINISHED", "KILLED", "FAILED")
    ]:
        faults.append(f"{len(running)} runs say RUNNING in MLflow")
    for folder in folders:
        said = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        run = said["run_id"]
        if status.get(run) != "FINISHED":
            faults.append(f"{folder.name}: {status.get(run)} in MLflow")
            continue
        if not said["store"]["whole"]:
            faults.append(f"{folder.name}: run.json says that MLflow has not all of it")
        if dict(db.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run,))).get(
            "status.reason"
        ):
            faults.append(f"{folder.name}: has a status.reason")
        stored = list(
            db.execute(
                "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND NOT is_nan", (run,)
            )
        )
        told = [
            (name, line["step"] or 0, value)
            for line in _lines(folder)
            for name, value in line["metrics"].items()
            if value is not None
        ]
        if Counter(stored) != Counter(told):
            faults.append(
                f"{folder.name}: {len(stored)} points in MLflow, {len(told)} in the folder"
            )
        (uri,) = db.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run,)).fetchone()
        kept = Path(uri.removeprefix("file://"))
        for name in said["artifacts"]:
            if (
                not (kept / name).is_file()
                or (kept / name).read_bytes() != (folder / name).read_bytes()
            ):
                faults.append(f"{folder.name}: {name} is missing or another one in MLflow")
        models = db.execute(
            "SELECT count(*) FROM logged_models WHERE source_run_id = ?", (run,)
        ).fetchone()[0]
        if (folder / "model").is_dir() and models != 1:
            faults.append(f"{folder.name}: {models} models in MLflow")
    db.close()
    return faults


def listing(home: Path) -> set[str]:
    """Every file and folder below `home`, ids left out."""
    paths = (path.relative_to(home) for path in home.rglob("*"))
    return {
        _IDS.sub("ID", path.as_posix()) for path in paths if not _MAY_DIFFER.fullmatch(path.name)
    }


def litter(home: Path) -> list[str]:
    """What no run that has ended leaves: half-written files, states of training, temporary files."""
    return sorted(
        path.relative_to(home).as_posix()
        for path in home.rglob("*")
        if path.name.endswith(".part") or "checkpoints" in path.parts or path.parent == home / "tmp"
    )


def damaged(home: Path) -> list[str]:
    """Files that have their final name and are not whole, of a run that was just killed."""
    faults = []
    for path in [path for path in home.rglob("*.json") if not path.name.startswith(".")]:
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            faults.append(f"{path.relative_to(home)}: {error}")
    return faults


def secrets_in(home: Path, secret: str) -> list[str]:
    """Files below `home` that hold the secret."""
    files = (path for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    return [str(path.relative_to(home)) for path in files if secret.encode() in path.read_bytes()]


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
