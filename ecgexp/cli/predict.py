"""Annotate WFDB, EDF and CSV records with the model of a run.

For each record it writes FOLDER/<record>.ecgexp, a WFDB annotation file with one symbol per beat,
and FOLDER/<record>.csv with the probability of each class. Each class is written as one symbol: an
AAMI class as N, S, V, F or Q, which stands for the whole class (S for A, a, J and S); L, R and A as
themselves; P (paced) as /; normal as N; any other class as Q, with its name in the aux string. The
symbol ? marks a beat that is not classified, because its window extends beyond the record or it has
no RR interval, and a beat in a segment where a lead of the model shows no usable ECG (flat, at the
rails, lead off, noise, implausible amplitude or rate); the column quality of the table says which.
Records are never changed.
For a model trained on beats that were cut already (dataset=arrays), RECORD is a file of such beats,
and FOLDER/<file>.csv has the probability of each class for each of its rows.
Research software: the annotations are not a diagnosis.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.cli.arguments import Parser, run_command
from ecgexp.cli.run_argument import named_run
from ecgexp.cli.streams import command
from ecgexp.console import Console
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.digests import digest

if TYPE_CHECKING:
    from ecgexp.analysis.find_runs import StoredRun
    from ecgexp.console import ProgressBar
    from ecgexp.data.datasets.catalog import Database
    from ecgexp.data.formats.csv_layout import CsvLayout
    from ecgexp.data.formats.labels import Labels
    from ecgexp.inference.model import TrainedModel
    from ecgexp.inference.record import Annotated, Source
    from ecgexp.models.classifier import Classifier

_EXAMPLE = """\
ecgexp-predict outputs/ecgexp/2026-01-31_12-00-00-000000 ~/physionet/mitdb/1.0.0/100
ecgexp-predict outputs/ecgexp/2026-01-31_12-00-00-000000 more_beats.csv"""
_FORMATS = ("wfdb", "csv", "json", "edf")
# Step -> share of the time of a record, and of the steps before it.
_STEPS = {
    "reading": (0.1, 0.0),
    "detecting beats": (0.2, 0.1),
    "quality": (0.1, 0.3),
    "cutting windows": (0.35, 0.4),
    "classifying": (0.25, 0.75),
}
_ROWS = (
    "these beats were cut by somebody else; nothing states whose they are, or whether the model "
    "was trained on them, so that the agreement with their labels says nothing about new patients"
)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0, or 2 for an error.
    """
    begun = time.monotonic()
    options = _parse(arguments)
    # TensorFlow logs harmless messages as errors whenever it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def work() -> int:
        predict(options, begun=begun)
        return 0

    return run_command("ecgexp-predict", work)


def predict(options: argparse.Namespace, *, begun: float | None = None) -> "list[Annotated]":
    """Annotates every record, writes the files and prints a summary.

    Arguments are validated before the first record is read.

    Args:
      options: the parsed command line.
      begun: when the command began, by `time.monotonic`; None: now.

    Returns:
      The annotated records, in the order of the command line.

    Raises:
      ConfigError: an argument is invalid.
      DataError: the run has no model, or a record cannot be read or does not suit the model. The
        files of earlier records are written.
    """
    from ecgexp.config.location import own_folder
    from ecgexp.data.datasets.own_databases import own_databases
    from ecgexp.data.formats.annotation_writer import check_extension
    from ecgexp.data.formats.beat_file import SUFFIXES
    from ecgexp.data.formats.record_paths import is_csv, locate_all, reference_file, signal_files
    from ecgexp.data.identity import check_stems_once
    from ecgexp.inference import output_files
    from ecgexp.inference.csv_columns import csv_layout
    from ecgexp.inference.model import layout_settings, load_model
    from ecgexp.inference.symbol_labels import trained_labels

    begun = time.monotonic() if begun is None else begun
    check_extension(options.extension)
    databases = () if options.config_dir is None else own_databases(own_folder(options.config_dir))
    names, typed = _names_and_settings(options.records)
    suffixes, run = {Path(name).suffix.lower() for name in names}, None
    if suffixes <= set(SUFFIXES):  # files of beats, or CSV recordings
        run = named_run(options.run, "RUN ", store=options.store)
        if ".csv" not in suffixes or _takes_beats(run):
            _classify_files([Path(name) for name in names], run, options)
            return []
    csv, skip = csv_layout({}, typed), options.on_error == "skip"
    stems = locate_all(names, skip=skip, csv=csv)
    if any(is_csv(stem) for stem in stems):  # their columns are those of the training
        run = run or named_run(options.run, "RUN ", store=options.store)
        csv = csv_layout(layout_settings(run), typed)
        stems = locate_all(names, skip=skip, csv=csv)
    references = (reference_file(stem, options.annotator, csv) for stem in stems)
    missing = [file for file in references if file is not None and not file.is_file()]
    if missing and options.beats == "reference":
        raise DataError(
            f"--beats reference: there is no {missing[0]}; use --beats detector, or --annotator "
            "with the annotator name of the file"
        )
    output_files.check_output(
        options.output,
        stems,
        options.extension,
        formats=options.format,
        has_figure=options.figure,
        overwrite=options.overwrite,
        resume=options.resume,
    )
    check_stems_once(stems, lambda folder, record: signal_files(folder / record))
    run = run or named_run(options.run, "RUN ", store=options.store)
    model = load_model(run)
    model.classifier.build()
    reading = _Reading(csv=csv, labels=trained_labels(layout_settings(run)), databases=databases)
    return _annotate_all(model, stems, options, reading, begun)


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """How records are read: as in training, or as typed.

    Attributes:
      csv: What the columns of CSV recordings mean.
      labels: What states the symbol of an annotated beat.
      databases: The user's own databases.
    """

    csv: "CsvLayout"
    labels: "Labels"
    databases: "Sequence[Database]" = ()


def _names_and_settings(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the records, and the settings of CSV recordings among the arguments."""
    typed = [each for each in arguments if "=" in each and not os.path.lexists(each)]
    names = [each for each in arguments if each not in typed]
    if not names:
        raise ConfigError("RECORD: no record is named; use the path of a record or a folder")
    return names, typed


def _takes_beats(run: "StoredRun") -> bool:
    return run.params.get("dataset._target_", "").endswith("ArraysDataset")


def _classify_files(paths: Sequence[Path], run: "StoredRun", options: argparse.Namespace) -> None:
    """Classifies files of beats that are cut already, and prints a summary."""
    from rich.table import Table

    from ecgexp.inference.model import load_model
    from ecgexp.inference.report import model_notes
    from ecgexp.inference.rows import classify_rows
    from ecgexp.storage.atomic import replacing

    model, console = load_model(run), Console()
    targets = [options.output / f"{path.stem}.csv" for path in paths]
    for path, target in zip(paths, targets, strict=True):
        if target.exists() and (not options.overwrite or target.resolve() == path.resolve()):
            raise DataError(
                f"{target} exists already; use --overwrite to replace it, or another --output"
            )
    if len(set(targets)) < len(targets):
        raise DataError(
            "FILE: two files have the same name and would have the same output; classify them one "
            "at a time, each with its own --output"
        )
    table = Table("file", "beats", *model.classifier.class_names, "label predicted")
    for path, target in zip(paths, targets, strict=True):
        found = classify_rows(model, path, run.params)
        options.output.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            found.table().to_csv(part, index=False)
        labeled, right = found.agreement
        table.add_row(
            path.name,
            str(len(found.labels)),
            *map(str, found.counts.values()),
            f"{right} of {labeled}" if labeled else "no labels",
        )
    console.print_result(table)
    for remark in [*model_notes(model), _ROWS]:
        console.print_result(f"note: {remark}")
    console.print_result(f"{options.output}/: {', '.join(target.name for target in targets)}")


def _annotate_all(
    model: "TrainedModel",
    stems: Sequence[Path],
    options: argparse.Namespace,
    reading: _Reading,
    begun: float,
) -> "list[Annotated]":
    from ecgexp.inference import output_files, report
    from ecgexp.inference.unfinished import unfinished

    console = Console()
    _warn_of_synthetic(model, console)
    done: list[Annotated] = []
    ready = time.monotonic()
    remarks: list[str] = []
    failed: dict[str, str] = {}
    finished = 0
    with console.progress_bar("percent") as progress_bar:
        for number, stem in enumerate(stems):
            bar = _RecordBar(progress_bar, stem.name, number, len(stems))
            bar.show(0.0, "")
            try:
                made_from = made_from_of(model.classifier, stem, options, reading)
                if options.resume and _is_finished(stem, made_from, options):
                    finished += 1
                    remarks.append(f"{stem.name}: was annotated before the interruption")
                    continue
                with unfinished(
                    options.output, stem.name, made_from, overwrite=options.overwrite
                ) as scratch:
                    annotated, notes = _annotated(
                        model, stem, options, reading, scratch, bar, is_alone=len(stems) == 1
                    )
                    _check_no_copy([*done, annotated])
                    _write(model, annotated, made_from, options)
            except DataError as error:
                if options.on_error == "stop":
                    raise
                failed[stem.name] = str(error)
            else:
                done.append(annotated)
                remarks += notes
    remarks += [f"{name}: not annotated: {why}" for name, why in failed.items()]
    if not done and not finished:
        raise DataError(f"RECORD: no record was annotated; {next(iter(failed.values()))}")
    if done:
        _print_speed(console, done, time.monotonic() - ready, ready - begun)
    for table in report.render(model, done) if done else ():
        console.print_result(table)
    annotated = [stem for stem in stems if stem.name not in failed]
    own = [] if model.own is None else model.own.notes(annotated)
    for remark in [
        *report.model_notes(model),
        *report.agreement_notes(model, done),
        *own,
        *remarks,
    ]:
        console.print_result(f"note: {remark}")
    names = ", ".join(
        output_files.names_of(
            "<record>", options.extension, options.format, has_figure=options.figure
        )
    )
    console.print_result(f"{options.output}/: {names}")
    return done


def _print_speed(
    console: Console, done: "Sequence[Annotated]", seconds: float, start_s: float
) -> None:
    from ecgexp.inference.summary_text import clock

    length = sum(one.num_samples / one.fs_hz for one in done)
    console.print(
        f"{clock(length)} annotated in {seconds:.0f} s, {length / max(seconds, 1e-3):.0f} times "
        f"real time, after a start-up of {start_s:.0f} s"
    )


def _write(
    model: "TrainedModel",
    annotated: "Annotated",
    made_from: Mapping[str, object],
    options: argparse.Namespace,
) -> None:
    """Write the files of a record, with its summary."""
    from ecgexp.inference import output_files
    from ecgexp.inference.summary import summarize
    from ecgexp.inference.summary_text import summary_lines

    summary = summarize(annotated)
    figure = None
    if options.figure:
        from ecgexp.inference.summary_figure import summary_figure

        figure = summary_figure(summary, source=model.classifier.database)
    lines = summary_lines(summary, f"a model trained on {model.learned_from}")
    text = "\n".join([*lines, "", f"made from {digest(dict(made_from))}", ""])
    output_files.write(
        annotated,
        options.output,
        options.extension,
        formats=options.format,
        summary=text,
        figure=figure,
    )


def made_from_of(
    classifier: "Classifier", stem: Path, options: argparse.Namespace, reading: _Reading
) -> dict[str, object]:
    """Return what determines the annotations of a record, as JSON values."""
    from ecgexp import __version__
    from ecgexp.data.formats.record_paths import files_of_single
    from ecgexp.storage.digests import file_sha256

    files = files_of_single(stem, options.annotator, reading.csv)
    return {
        "version": __version__,
        "model": classifier.digest,
        "files": {path.name: file_sha256(path) for path in files if path.is_file()},
        "beats": options.beats,
        "lead": options.lead,
        "csv": asdict(reading.csv),
        "symbols": [reading.labels.symbols_from, dict(reading.labels.symbols)],
        "databases": [str(asdict(one)) for one in reading.databases],
    }


def _is_finished(stem: Path, made_from: Mapping[str, object], options: argparse.Namespace) -> bool:
    """Return whether all files of a record are there, and check that they are of this command."""
    from ecgexp.inference.output_files import names_of

    names = names_of(stem.name, options.extension, options.format, has_figure=options.figure)
    if not all((options.output / name).exists() for name in names):
        return False
    path = options.output / names[-1]
    if not path.read_text(encoding="utf-8").endswith(f"made from {digest(dict(made_from))}\n"):
        raise ConfigError(
            f"{path}: was made by another model, setting or signal; use --overwrite to replace it, "
            "or another --output"
        )
    return True


class _RecordBar:
    """Shows how much of a record is done."""

    def __init__(self, bar: "ProgressBar", name: str, number: int, of: int):
        self._bar, self._name, self._number, self._of = bar, name, number, of

    def show(self, share: float, what: str) -> None:
        """Show the share of a step, and its name."""
        whole = 100 * self._of
        weight, begin = _STEPS.get(what, (0.0, 0.0))
        done = min(100 * self._number + 100 * (begin + weight * share), whole)
        self._bar(int(done), whole, f"{self._name} {what}".rstrip())


def _annotated(
    model: "TrainedModel",
    stem: Path,
    options: argparse.Namespace,
    reading: _Reading,
    scratch: Path,
    bar: _RecordBar,
    *,
    is_alone: bool,
) -> "tuple[Annotated, list[str]]":
    """Annotate a record; return it and the notes on it."""
    from ecgexp.data.formats.record_paths import reference_file
    from ecgexp.data.formats.single_record import database_of, open_single, published_name
    from ecgexp.inference import report
    from ecgexp.inference.streamed import annotate_streamed

    reference = reference_file(stem, options.annotator, reading.csv)
    may_have_reference = reference is None or reference.is_file()
    database = database_of(stem, reading.databases)
    preprocessing = model.classifier.preprocessing.for_records_of(str(database)).with_aliases(
        options.lead
    )
    streamed = open_single(
        stem,
        annotator=options.annotator if may_have_reference else None,
        leads=preprocessing.records.lead_spellings,
        database=database,
        csv=reading.csv,
        labels=reading.labels,
        scratch=scratch,
    )
    record = streamed.record
    bar.show(1.0, "reading")
    has_reference = len(record.samples) > 0 if reference is None else may_have_reference
    source: Source = options.beats or ("reference" if has_reference else "detector")
    annotated = annotate_streamed(
        model.classifier,
        streamed,
        source=source,
        preprocessing=preprocessing,
        scratch=scratch,
        with_hashes=not is_alone,
        on_progress=bar.show,
    )
    notes = report.notes(
        model,
        annotated,
        database=str(database),
        patient_id=record.patient_id,
        known_as=published_name(stem),
    )
    return annotated, list(notes)


def _check_no_copy(done: "Sequence[Annotated]") -> None:
    """Checks that the last record is not a copy or excerpt of an earlier one.

    The beats of a copy, which may be in another file format, would count twice.
    """
    from ecgexp.data.identity import copies

    if (found := copies({one.record_id: one.windows for one in done})) is not None:
        one, other, number = found
        raise DataError(
            f"RECORD: records {one} and {other} hold the same heartbeats, which would count twice: "
            f"{number} windows are equal bit for bit; use only one of them"
        )


def _warn_of_synthetic(model: "TrainedModel", console: Console) -> None:
    if model.is_synthetic:
        text = (
            f"warning: this model was trained on SYNTHETIC data, {model.classifier.database}: its "
            "predictions for recordings of patients have no meaning"
        )
        console.print(text, style="bold red")


def _formats(text: str) -> tuple[str, ...]:
    """Return the formats in a list with commas."""
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in _FORMATS]:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is not a format; use {', '.join(_FORMATS)}"
        )
    return names


def _aliases(text: str) -> dict[str, str]:
    """Return lead of the model -> lead of the records."""
    aliases: dict[str, str] = {}
    for part in text.split(","):
        lead, _, alias = part.partition("=")
        if not lead or not alias or lead in aliases:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list like MLII=II,V1=V5")
        aliases[lead] = alias
    return aliases


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-predict", description=__doc__, example=_EXAMPLE)
    add = parser.add_argument
    parser.add_run(help="the run with the model: {}")
    add(
        "records",
        nargs="+",
        metavar="RECORD",
        help="path of a WFDB, EDF or CSV record, with or without suffix, of a folder or RECORDS "
        "file of records, a glob pattern, or a file of beats; for CSV also settings, e.g. "
        "dataset.recorded_hz=250 dataset.units=mV, where the model was trained with others",
    )
    add(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="a record that cannot be annotated: stop, or skip it and say why (%(default)s)",
    )
    add(
        "--beats",
        choices=("reference", "detector"),
        help="use annotated beats, or detect them (reference if the annotation file exists)",
    )
    add(
        "--lead",
        type=_aliases,
        default={},
        metavar="MLII=II[,…]",
        help="read lead MLII of the model from lead II of the records; several with commas",
    )
    add(
        "--config-dir",
        metavar="DIR",
        help="your own folder of YAML files: records below a folder with the name of one of its "
        "database/NAME.yaml are those of this database",
    )
    add(
        "--annotator",
        default="atr",
        metavar="NAME",
        help="annotator name of the reference annotations (%(default)s)",
    )
    add(
        "--extension",
        default="ecgexp",
        metavar="NAME",
        help="annotator name of the files to be written (%(default)s)",
    )
    add(
        "--format",
        type=_formats,
        default=_FORMATS[:2],
        metavar="wfdb,csv",
        help="formats of the annotations, of wfdb, csv, json and edf (EDF+), with commas",
    )
    add(
        "--no-figure",
        dest="figure",
        action="store_false",
        help="write the summary of each record as text only",
    )
    add(
        "--resume",
        action="store_true",
        help="continue an interrupted command: finished records stay, an unfinished one continues",
    )
    parser.add_output(
        metavar="FOLDER", default=Path("predictions"), help="folder to write to (%(default)s)"
    )
    parser.add_store()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
