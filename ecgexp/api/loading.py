"""Runs that were made: `ecgexp.load_run` and `ecgexp.runs`."""

import html
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ecgexp.api.process_state import quiet_and_restored
from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    import pandas as pd

    from ecgexp.analysis.find_runs import StoredRun
    from ecgexp.models.classifier import Classifier

_SPLITS = ("test", "validation")
_SHOWN = ("test/accuracy", "test/macro_f1", "test/jk_index")
_DIR_TAG = "run.dir"


def load_run(run: str | Path, *, store: str | None = None) -> "LoadedRun":
    """Load a run: its settings, scores, learning curve, predictions and model.

    Args:
      run: its folder; an MLflow id, or the beginning of one; or `latest`, which is the finished run
        that was started last.
      store: the MLflow store in which ids are looked up; None: MLFLOW_TRACKING_URI, else that of
        the working folder.

    Returns:
      The run. Its parts are read when they are used.

    Raises:
      DataError: there is no such run, or there are several.
    """
    from ecgexp.analysis.find_runs import find_run

    with quiet_and_restored():
        return LoadedRun(_stored=find_run(str(run), uri=store), _store=store)


def runs(*, store: str | None = None, runs_dir: str | Path | None = None) -> "pd.DataFrame":
    """List the runs of a store and of a folder, newest first, as `ecgexp-runs --json` does.

    Args:
      store: the MLflow store; None: MLFLOW_TRACKING_URI, else that of the working folder.
      runs_dir: folder that is searched; None: `outputs/`, or none if a store is given.

    Returns:
      One row for each run: the keys of `ecgexp-runs --json`, with one column for each score, such
      as `test/macro_f1`. What cannot be read is a warning.
    """
    import pandas as pd

    from ecgexp.analysis.run_list import list_runs
    from ecgexp.analysis.run_values import as_json

    with quiet_and_restored():
        listed = list_runs(runs_dir=None if runs_dir is None else Path(runs_dir), uri=store)
    for problem in listed.problems:
        warnings.warn(problem, stacklevel=2)
    rows = []
    for one in listed.runs:
        values = as_json(one)
        scores = values.pop("scores")
        flat = {
            f"{split}/{name}": math.nan if value is None else value
            for split, found in scores.items()
            for name, value in found.items()
        }
        folder = None if one.folder is None else str(one.folder.absolute())
        rows.append({**values, "folder": folder, **flat})
    table = pd.DataFrame(rows)
    if len(table):
        table["started"] = pd.to_datetime(table["started"], utc=True)
    return table


@dataclass(frozen=True, kw_only=True, repr=False)
class LoadedRun:
    """A run that was made.

    Values of a private run that its guarantee does not cover are not read: they are in `private/`.
    """

    _stored: "StoredRun"
    _store: str | None = field(default=None)

    @property
    def name(self) -> str:
        """Its name in MLflow."""
        return self._stored.name

    @property
    def run_id(self) -> str:
        """Its id in MLflow; for a run without MLflow, the path of its folder."""
        return self._stored.run_id

    @property
    def status(self) -> str:
        """FINISHED, FAILED, KILLED or RUNNING."""
        return self._stored.status

    @property
    def folder(self) -> Path | None:
        """Its folder; None if that is not on this machine."""
        folder = Path(self._stored.tags.get(_DIR_TAG, ""))
        return folder if (folder / "run.json").is_file() else None

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Its settings, nested as in the YAML files: `settings["trainer"]["epochs"]`."""
        from ecgexp.tracking.params import unflatten

        text = self._stored.text("config.yaml")
        if text:
            return yaml.safe_load(text)
        return unflatten(
            {name: yaml.safe_load(value) for name, value in self._stored.params.items()}
        )

    @property
    def metrics(self) -> Mapping[str, float]:
        """Final metrics, e.g. `metrics["test/macro_f1"]`; NaN where one is undefined."""
        return self._stored.metrics

    @cached_property
    def notes(self) -> Mapping[str, Sequence[str]]:
        """Subject -> sentences that limit the scores."""
        return (self._stored.read_json("result.json") or {}).get("notes") or {}

    @cached_property
    def privacy(self) -> Mapping[str, Any] | None:
        """The content of `privacy.json`; None for a run without privacy."""
        return self._stored.read_json("privacy.json")

    @cached_property
    def history(self) -> "pd.DataFrame":
        """The metrics of each epoch or round; the index is its number, from 1."""
        from ecgexp.analysis.history import read_history

        with quiet_and_restored():
            return read_history(self._stored, folder=self.folder, uri=self._store)

    @cached_property
    def predictions(self) -> "pd.DataFrame":
        """The predictions for each evaluated beat.

        Its columns are `split`, `record`, `patient`, `sample`, `class`, `predicted`, and
        `probability/CLASS` for each class.

        Raises:
          DataError: the run has stored none.
        """
        import pandas as pd

        from ecgexp.evaluation.stored_tables import read_predictions

        parts = []
        for split in _SPLITS:
            file = self._stored.artifact(f"predictions/{split}.parquet")
            if file is None:
                continue
            found = read_predictions(file, fix=self._stored.fix)
            columns = {
                "split": split,
                "record": found.records,
                "patient": found.patients,
                "sample": found.samples,
                "class": found.classes,
                "predicted": found.predicted,
            }
            probabilities = {
                f"probability/{name}": found.probabilities[:, column]
                for column, name in enumerate(found.class_names)
            }
            parts.append(pd.DataFrame({**columns, **probabilities}))
        if not parts:
            raise DataError(
                f"run {self.name} ({self.status.lower()}) has stored no predictions; use a "
                "finished run that evaluates beats (evaluate_on)"
            )
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def model(self) -> "Classifier":
        """The trained model: `model.predict_probabilities(signals_mv)`.

        Raises:
          ConfigError: it needs a plug-in that is not installed.
          DataError: the run has no model.
        """
        from ecgexp.inference.model import load_model

        with quiet_and_restored():
            return load_model(self._stored).classifier

    def __repr__(self) -> str:
        return f"<run {self.name!r}, {self.status.lower()}, {self.folder or self.run_id}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        statement = (self.privacy or {}).get("statement")
        rows = {
            "status": self.status.lower(),
            "folder": str(self.folder or "not on this machine"),
            **{name: _score(self.metrics.get(name)) for name in _SHOWN if name in self.metrics},
            **({"privacy": str(statement)} if statement else {}),
        }
        notes = [f"{about}: {text}" for about, texts in self.notes.items() for text in texts]
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for key, value in rows.items()
        )
        listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        about = f"<details><summary>{len(notes)} notes</summary><ul>{listed}</ul></details>"
        return f"<b>{html.escape(self.name)}</b><table>{cells}</table>{about if notes else ''}"


def _score(value: float | None) -> str:
    from ecgexp.formatting import score_text

    return score_text(value)
