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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.cli.arguments import Parser, run_command
from ecgexp.cli.run_argument import named_run
from ecgexp.cli.streams import command
from ecgexp.console import Console
from ecgexp.settings.declaration import ConfigError, DataError

if TYPE_CHECKING:
    from ecgexp.analysis.find_runs import StoredRun
    from ecgexp.data.formats.csv_layout import CsvLayout
    from ecgexp.inference.model import TrainedModel
    from ecgexp.inference.record import Annotated, Source

_EXAMPLE = """\
ecgexp-predict outputs/ecgexp/2026-01-31_12-00-00-000000 ~/physionet/mitdb/1.0.0/100
ecgexp-predict outputs/ecgexp/2026-01-31_12-00-00-000000 more_beats.csv"""
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
    options = _parse(arguments)
    # TensorFlow logs harmless messages as errors whenever it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def work() -> int:
        predict(options)
        return 0

    return run_command("ecgexp-predict", work)


def predict(options: argparse.Namespace) -> "list[Annotated]":
    """Annotates every record, writes the files and prints a summary.

    Arguments are validated before the first record is read.

    Args:
      options: the parsed command line.

    Returns:
      The annotated records, in the order of the command line.

    Raises:
      ConfigError: an argument is invalid.
      DataError: the run has no model, or a record cannot be read or does not suit the model. The
        files of earlier records are written.
    """
    from ecgexp.data.formats.annotation_writer import check_extension
    from ecgexp.data.formats.beat_file import SUFFIXES
    from ecgexp.data.formats.single_record import is_csv, locate_all, reference_file, signal_files
    from ecgexp.data.identity import check_stems_once
    from ecgexp.inference import output_files
    from ecgexp.inference.csv_columns import csv_layout
    from ecgexp.inference.model import layout_settings, load_model

    check_extension(options.extension)
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
    output_files.check_output(options.output, stems, options.extension, overwrite=options.overwrite)
    check_stems_once(stems, lambda folder, record: signal_files(folder / record))
    run = run or named_run(options.run, "RUN ", store=options.store)
    return _annotate_all(load_model(run), stems, options, csv)


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
    model: "TrainedModel", stems: Sequence[Path], options: argparse.Namespace, csv: "CsvLayout"
) -> "list[Annotated]":
    from ecgexp.inference import output_files, report

    console = Console()
    _warn_of_synthetic(model, console)
    done: list[Annotated] = []
    remarks: list[str] = []
    failed: dict[str, str] = {}
    with console.progress_bar("records") as progress_bar:
        for number, stem in enumerate(stems):
            progress_bar(number, len(stems), stem.name)
            try:
                annotated, notes = _annotated(model, stem, options, csv)
                _check_no_copy([*done, annotated])
                output_files.write(annotated, options.output, options.extension)
            except DataError as error:
                if options.on_error == "stop":
                    raise
                failed[stem.name] = str(error)
            else:
                done.append(annotated)
                remarks += notes
    remarks += [f"{name}: not annotated: {why}" for name, why in failed.items()]
    if not done:
        raise DataError(f"RECORD: no record was annotated; {next(iter(failed.values()))}")
    for table in report.render(model, done):
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
    names = ", ".join(output_files.names_of("<record>", options.extension))
    console.print_result(f"{options.output}/: {names}")
    return done


def _annotated(
    model: "TrainedModel", stem: Path, options: argparse.Namespace, csv: "CsvLayout"
) -> "tuple[Annotated, list[str]]":
    """Annotate a record; return it and the notes on it."""
    from ecgexp.data.formats.single_record import (
        database_of,
        published_name,
        read_single,
        reference_file,
    )
    from ecgexp.inference import report
    from ecgexp.inference.record import annotate

    reference = reference_file(stem, options.annotator, csv)
    may_have_reference = reference is None or reference.is_file()
    database = database_of(stem)
    preprocessing = model.classifier.preprocessing.for_records_of(str(database)).with_aliases(
        options.lead
    )
    record, _ = read_single(
        stem,
        annotator=options.annotator if may_have_reference else None,
        leads=preprocessing.records.recorded_leads,
        database=database,
        csv=csv,
    )
    has_reference = len(record.samples) > 0 if reference is None else may_have_reference
    source: Source = options.beats or ("reference" if has_reference else "detector")
    annotated = annotate(model.classifier, record, source=source, preprocessing=preprocessing)
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
    parser.add_output(
        metavar="FOLDER", default=Path("predictions"), help="folder to write to (%(default)s)"
    )
    parser.add_store()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
