"""Score settings on training patients: train without each patient in turn, and predict it.

Only training and validation patients of the split are used, so that settings can be chosen without
the test set. With --choose, the value of a setting is chosen for each patient by the scores of all
others, which shows what the choice itself is worth.
"""

import argparse
import json
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgexp.cli.arguments import Parser, check_output, run_command
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import ConfigError

if TYPE_CHECKING:
    from ecgexp.experiment.left_out_run import LeftOutStudy

_EXAMPLE = """\
ecgexp-leave-one-out experiment=mitdb_inter_patient_extra_trees_centralized
ecgexp-leave-one-out model=extra_trees dataset.window_ms=[360,560] --choose model.min_leaf=1,3,10 --by f1/S
ecgexp-leave-one-out experiment=mitdb_inter_patient_mlp_centralized --seeds 0,1,2 --output mlp.json"""  # noqa: E501
_KIND = "ecgexp leave-one-out"
_DEFAULT = ("patients", "training")
_ID = 12  # digits of the name of a folder


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
    parser.add_settings()
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
    from ecgexp.experiment.left_out_run import as_dict, run_left_out
    from ecgexp.storage.atomic import replacing

    if options.output is not None:
        check_output(
            options.output,
            is_ours=lambda: _is_ours(options.output),
            kind="result of ecgexp-leave-one-out",
            overwrite=options.overwrite,
        )
    with _without_warnings_of_folds():
        study = _study(options)
        study.check()
        place = _place(options, study)
        scores = run_left_out(
            study,
            place.folder,
            Console(),
            run_name=f"leave-one-out {study.first.title}",
            params=place.params,
            tags=place.tags,
            quiet=options.json,
        )
    content = {
        "kind": _KIND,
        "settings": list(options.overrides),
        "choose": options.choose,
        "folder": str(place.folder),
        **as_dict(scores),
    }
    if options.output is not None:
        with replacing(options.output) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.json:
        for one in content["results"]:
            del one["records"], one["patients"]
        print(json.dumps(content))
    return 0


@contextmanager
def _without_warnings_of_folds() -> Iterator[None]:
    """Keep warnings that each fold repeats away; TensorFlow warns that each has a new model."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def _variants(options: argparse.Namespace) -> list[str]:
    """Return the overrides of each candidate: one, empty, without `--choose`."""
    if options.choose is None:
        return [""]
    key, _, values = options.choose.partition("=")
    if not key or not all(values.split(",")) or "," not in values:
        raise ConfigError(
            f"--choose {options.choose}: names no setting with two values or more; use e.g. "
            "--choose model.min_leaf=1,3,10."
        )
    return [f"{key}={value}" for value in values.split(",")]


def _override(variant: str) -> str:
    """Return a candidate as an override that also adds a key, as in `model.class_bias.S=0.4`."""
    key = variant.partition("=")[0]
    return f"++{variant}" if "." in key and not key.startswith("+") else variant


def _seeds(options: argparse.Namespace) -> list[str]:
    if options.seeds is None:
        return [""]
    seeds = options.seeds.split(",")
    if not all(seed.isdecimal() for seed in seeds):
        raise ConfigError(f"--seeds {options.seeds}: not whole numbers; use e.g. --seeds 0,1,2.")
    return [f"seed={seed}" for seed in seeds]


def _study(options: argparse.Namespace) -> "LeftOutStudy":
    """Build every experiment, and check the score that chooses."""
    from ecgexp.config.compose import load_experiment
    from ecgexp.evaluation.names import better_by
    from ecgexp.evaluation.score_names import epoch_score_names
    from ecgexp.experiment.experiment import Experiment
    from ecgexp.experiment.left_out_run import LeftOutStudy

    variants = _variants(options)
    experiments: dict[int, dict[str, Experiment]] = {}
    for seed in _seeds(options):
        named = {
            variant: load_experiment(
                [*options.overrides, *filter(None, (_override(variant), seed))],
                own=options.config_dir,
            )
            for variant in variants
        }
        experiments[next(iter(named.values())).seed] = named
    first = next(iter(next(iter(experiments.values())).values()))
    metric = options.by or first.selection.metric
    known = epoch_score_names(first.grouping.classes, has_clients=False)
    if metric not in known:
        raise ConfigError(f"--by {metric}: not a score; use one of {', '.join(sorted(known))}.")
    return LeftOutStudy(
        experiments=experiments,
        choose=options.choose,
        metric=metric,
        largest=better_by(metric) != "min",
        all_patients=options.patients == "all",
        without_most=options.without_most,
    )


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a study is stored, and under which parameters and tags."""

    folder: Path
    params: dict[str, Any]
    tags: dict[str, str]


def _place(options: argparse.Namespace, study: "LeftOutStudy") -> _Place:
    from ecgexp.config.compose import for_the_record, load_config
    from ecgexp.settings.build import to_node
    from ecgexp.settings.paths import DEFAULT_RUNS_DIR
    from ecgexp.storage.digests import digest
    from ecgexp.sweeps.identity import code_digest, job_digest
    from ecgexp.tracking.params import parameters
    from ecgexp.tracking.provenance import plugin_tags

    config = load_config(options.overrides, own=options.config_dir)
    values = for_the_record(config)
    code = code_digest()
    jobs = [
        job_digest(to_node(experiment), code)
        for named in study.experiments.values()
        for experiment in named.values()
    ]
    varied = {"seed"} if options.seeds else set()
    if options.choose is not None:
        varied.add(options.choose.partition("=")[0].lstrip("+~"))
    params = {name: value for name, value in parameters(values).items() if name not in varied}
    of_command = {
        "patients": options.patients,
        "seeds": options.seeds,
        "choose": options.choose,
        "by": study.metric if options.choose else None,
        "without_most": options.without_most,
    }
    name = digest({"jobs": jobs, **of_command})[:_ID]
    return _Place(
        folder=Path(DEFAULT_RUNS_DIR) / str(config.name) / "leave_one_out" / name,
        params=params
        | {f"leave_one_out.{key}": value for key, value in of_command.items() if value is not None},
        tags={"command": _typed(options), **plugin_tags(values)},
    )


def _typed(options: argparse.Namespace) -> str:
    """Return the command, with secrets redacted."""
    from ecgexp.sweeps.identity import command as command_of

    words = [
        word
        for name in ("patients", "seeds", "choose", "by", "without_most")
        if (value := getattr(options, name)) is not None and (name, value) != _DEFAULT
        for word in (f"--{name.replace('_', '-')}", value)
    ]
    own = None if options.config_dir is None else Path(options.config_dir)
    typed = command_of(options.overrides, config_dir=own)
    return shlex.join(["ecgexp-leave-one-out", *shlex.split(typed)[1:], *words])


def _is_ours(file: Path) -> bool:
    try:
        return json.loads(file.read_text(encoding="utf-8")).get("kind") == _KIND
    except (OSError, ValueError, AttributeError):
        return False


if __name__ == "__main__":
    sys.exit(main())
