"""Score settings on training patients: train without each patient in turn, and predict it.

Only training and validation patients of the split are used, so that settings can be chosen without
the test set. With --choose, the value of a setting is chosen for each patient by the scores of all
others, which shows what the choice itself is worth.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgexp.cli.arguments import Parser, check_output, run_command
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from ecgexp.console import Console
    from ecgexp.evaluation.evaluator import Evaluation
    from ecgexp.experiment.experiment import Experiment
    from ecgexp.experiment.leave_one_out import PatientBeats

_EXAMPLE = """\
ecgexp-leave-one-out experiment=mitdb_inter_patient_extra_trees_centralized
ecgexp-leave-one-out model=extra_trees dataset.window_ms=[360,560] --choose model.min_leaf=1,3,10 --by f1/S
ecgexp-leave-one-out experiment=mitdb_inter_patient_mlp_centralized --seeds 0,1,2 --output mlp.json"""  # noqa: E501
_KIND = "ecgexp leave-one-out"


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0, or 2 for an error.
    """
    options = _parse(arguments)
    return run_command("ecgexp-leave-one-out", lambda: _run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-leave-one-out", description=__doc__, example=_EXAMPLE)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="SETTING=VALUE",
        help="the settings of the run, as for ecgexp",
    )
    parser.add_argument("--config-dir", metavar="FOLDER", help="your own folder of YAML files")
    parser.add_argument(
        "--patients",
        choices=("training", "all"),
        default="training",
        help="training: those of the split's training and validation part; all: every patient of "
        "dataset=, whatever the split (%(default)s)",
    )
    parser.add_argument(
        "--seeds", metavar="N,N,…", help="repeat with these seeds (that of the settings)"
    )
    parser.add_argument(
        "--choose",
        metavar="SETTING=V,V,…",
        help="choose one of these values for each patient, by the scores of the others",
    )
    parser.add_argument(
        "--by",
        metavar="SCORE",
        help="score of --choose, e.g. f1/S, jk_index (selection.metric)",
    )
    parser.add_argument(
        "--without-most",
        metavar="CLASS",
        help="score also without the patient who has most beats of this class",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead")
    parser.add_output(help="write all scores, also by record, as JSON")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from ecgexp.console import Console
    from ecgexp.storage.atomic import replacing

    if options.output is not None:
        check_output(
            options.output,
            is_ours=lambda: _is_ours(options.output),
            kind="result of ecgexp-leave-one-out",
            overwrite=options.overwrite,
        )
    variants = _variants(options)
    started, console = time.monotonic(), Console()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        results = [
            one for seed in _seeds(options) for one in _of_seed(options, variants, seed, console)
        ]
    content = {
        "kind": _KIND,
        "settings": list(options.overrides),
        "choose": options.choose,
        "seconds": round(time.monotonic() - started, 1),
        "results": results,
    }
    if options.json:
        for one in results:
            one.pop("records")
        print(json.dumps(content))
    if options.output is not None:
        with replacing(options.output) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


def _variants(options: argparse.Namespace) -> list[str]:
    """Return the overrides of each candidate: one, empty, without `--choose`."""
    if options.choose is None:
        return [""]
    key, found, values = options.choose.partition("=")
    if not found or not all(values.split(",")):
        raise ConfigError(
            f"--choose {options.choose}: not a setting with values; use e.g. "
            "--choose model.min_leaf=1,3,10."
        )
    return [f"{key}={value}" for value in values.split(",")]


def _seeds(options: argparse.Namespace) -> list[str]:
    if options.seeds is None:
        return [""]
    seeds = options.seeds.split(",")
    if not all(seed.isdecimal() for seed in seeds):
        raise ConfigError(f"--seeds {options.seeds}: not whole numbers; use e.g. --seeds 0,1,2.")
    return [f"seed={seed}" for seed in seeds]


def _of_seed(
    options: argparse.Namespace, variants: Sequence[str], seed: str, console: "Console"
) -> list[dict[str, Any]]:
    """Return the results of one seed: of every candidate, and of the choice among them."""
    from ecgexp.config.compose import load_experiment
    from ecgexp.evaluation.names import better_by
    from ecgexp.evaluation.score_names import epoch_score_names
    from ecgexp.experiment.leave_one_out import (
        check_can_leave_out,
        choose_without_each,
        predict_left_out,
    )

    experiments = [
        load_experiment(
            [*options.overrides, *filter(None, (variant, seed))], own=options.config_dir
        )
        for variant in variants
    ]
    metric = options.by or experiments[0].selection.metric
    known = epoch_score_names(experiments[0].grouping.classes, has_clients=False)
    if metric not in known:
        raise ConfigError(f"--by {metric}: not a score; use one of {', '.join(sorted(known))}.")
    for experiment in experiments:
        check_can_leave_out(experiment)
    loaded: dict[tuple[object, ...], PatientBeats] = {}
    found: list[dict[str, Any]] = []
    candidates: list[np.ndarray] = []
    for variant, experiment in zip(variants, experiments, strict=True):
        patients = _loaded(loaded, experiment, options, console)
        with console.progress_bar("patients") as bar:
            candidates.append(predict_left_out(experiment, patients, bar))
        found.append(
            _result(experiment, patients, candidates[-1], options, console, (variant, seed))
        )
    if len(variants) > 1:
        if len(loaded) > 1:
            raise ConfigError(
                f"--choose {options.choose}: changes the beats, so that scores of its values "
                "cannot be compared; choose a setting of model, trainer, features or loss."
            )
        patients = next(iter(loaded.values()))
        is_larger = better_by(metric) != "min"
        choice = choose_without_each(patients, candidates, metric, largest=is_larger)
        label = f"chosen by {metric} without the patient"
        result = _result(
            experiments[0], patients, choice.probabilities, options, console, (label, seed)
        )
        found.append(
            result | {"chosen": {name: variants[at] for name, at in choice.chosen.items()}}
        )
    return found


def _loaded(
    loaded: "dict[tuple[object, ...], PatientBeats]",
    experiment: "Experiment",
    options: argparse.Namespace,
    console: "Console",
) -> "PatientBeats":
    """Load beats and features once for all candidates that share them."""
    from ecgexp.experiment.leave_one_out import load_patients

    key = experiment.dataset, experiment.grouping, experiment.features, experiment.split
    shown = tuple(repr(part) for part in key)
    if shown not in loaded:
        experiment.check_can_start()
        with console.progress_bar("beats") as bar:
            loaded[shown] = load_patients(
                experiment, all_patients=options.patients == "all", on_progress=bar
            )
    return loaded[shown]


def _result(
    experiment: "Experiment",
    patients: "PatientBeats",
    probabilities: "np.ndarray",
    options: argparse.Namespace,
    console: "Console",
    named: Sequence[str],
) -> dict[str, Any]:
    """Evaluate, print the table, and return the JSON-serializable scores."""
    from ecgexp.evaluation.tables import summary_table
    from ecgexp.experiment.leave_one_out import evaluate_left_out, patient_with_most

    title = " · ".join(
        filter(None, (experiment.title, patients.beats.database, "patients left out", named[0]))
    )

    def scored(without: Sequence[str], title: str) -> "Evaluation":
        evaluation = evaluate_left_out(experiment, patients, probabilities, without=without)
        if not options.json:
            console.print_result(summary_table(evaluation, title=title))
        return evaluation

    whole = scored((), title)
    result: dict[str, Any] = {
        "value": named[0],
        "seed": experiment.seed,
        "metrics": _finite(whole.metrics("left_out")),
        "records": [
            {key: None if value != value else value for key, value in row.items()}
            for row in whole.per_record
        ],
    }
    if options.without_most is not None:
        most = patient_with_most(patients, options.without_most)
        rest = scored((most,), f"{title} · without patient {most}")
        result |= {"without": most, "metrics_without": _finite(rest.metrics("left_out"))}
    return result


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value == value}


def _is_ours(file: Path) -> bool:
    try:
        return json.loads(file.read_text(encoding="utf-8")).get("kind") == _KIND
    except (OSError, ValueError, AttributeError):
        return False


if __name__ == "__main__":
    sys.exit(main())
