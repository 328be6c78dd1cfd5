"""`ecgexp-predict`: annotates WFDB records with the model of a run.

Each record becomes FOLDER/<record>.ecgexp, a WFDB annotation file with one symbol a beat, and FOLDER/<record>.csv with every
class's probability. A class is written by its own symbol (N S V F Q; L R A; P is /, the paced beat; normal is N); any other class
is Q with its name in the note, and ? is a beat that lacks what the model needs: its window leaves the record, or it has no RR
interval. The records themselves are only read.
Research software: what it writes is no diagnosis.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.cli.arguments import BAD_ARGUMENT, Parser
from ecgexp.cli.streams import command
from ecgexp.console import Console
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.redaction import redact, redact_tracebacks
from ecgexp.storage.scratch import use_own_scratch

if TYPE_CHECKING:
    from ecgexp.inference.model import TrainedModel
    from ecgexp.inference.record import Annotated, Source

_BAD_DATA = 1


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script: 0; 2 for an argument, 1 for a run or a record, that cannot be used."""
    redact_tracebacks()
    options = _parse(arguments)
    use_own_scratch()
    os.environ.setdefault(
        "TF_CPP_MIN_LOG_LEVEL", "3"
    )  # TensorFlow greets every start with errors that are none
    try:
        predict(options)
    except (ConfigError, DataError) as error:
        return _fail(str(error), BAD_ARGUMENT if isinstance(error, ConfigError) else _BAD_DATA)
    except OSError as error:  # a full disk, a read-only folder
        return _fail(
            f"{error}; free some space, or give a folder that can be written to with --output",
            _BAD_DATA,
        )
    except KeyboardInterrupt:
        return 130
    return 0


def predict(options: argparse.Namespace) -> "list[Annotated]":
    """Annotates every record and says how it went; what can be refused is refused before the first one is read.

    Raises:
      ConfigError: an argument that cannot be used.
      DataError: the run has no model, or a record cannot be read or shown to it. Records before that one are written.
    """
    from ecgexp.analysis.find_runs import find_run
    from ecgexp.data.formats import wfdb_reader
    from ecgexp.data.formats.annotation_writer import check_extension
    from ecgexp.data.formats.single_record import annotation_file, locate
    from ecgexp.data.identity import check_stems_once
    from ecgexp.inference import output_files

    check_extension(options.extension)
    stems = [locate(name) for name in options.records]
    annotators = {stem: annotation_file(stem, options.annotator) for stem in stems}
    missing = [file for file in annotators.values() if not file.is_file()]
    if missing and options.beats == "reference":
        raise DataError(
            f"--beats reference: there is no {missing[0]}; type --beats detector, or --annotator with its suffix"
        )
    output_files.check_output(options.output, stems, options.extension, overwrite=options.overwrite)
    check_stems_once(
        stems,
        lambda folder, record: wfdb_reader.signals_among(wfdb_reader.files_of(folder, record)),
    )
    run = find_run(options.run, uri=options.store)

    from ecgexp.inference.model import load_model

    return _annotate_all(load_model(run), stems, options)


def _annotate_all(
    model: "TrainedModel", stems: Sequence[Path], options: argparse.Namespace
) -> "list[Annotated]":
    import rich.console

    from ecgexp.data.formats.single_record import (
        annotation_file,
        database_of,
        published_name,
        read_single,
    )
    from ecgexp.inference import output_files, report
    from ecgexp.inference.record import annotate

    output, console = rich.console.Console(highlight=False), Console()
    _warn_of_synthetic(model, console)
    done, remarks = [], []
    with console.progress_bar("records") as progress_bar:
        for number, stem in enumerate(stems):
            progress_bar(number, len(stems), stem.name)
            has_reference = annotation_file(stem, options.annotator).is_file()
            source: Source = options.beats or ("reference" if has_reference else "detector")
            database = database_of(stem)
            suited = model.for_records_of(str(database))
            record, _ = read_single(
                stem,
                annotator=options.annotator if has_reference else None,
                leads=suited.preprocessing.leads,
                database=database,
            )
            annotated = annotate(suited, record, source=source)
            done.append(annotated)
            _check_no_copy(done)
            output_files.write(annotated, options.output, options.extension)
            remarks += report.notes(
                suited,
                annotated,
                database=str(database),
                patient_id=record.patient_id,
                known_as=published_name(stem),
            )
    for table in report.render(model, done):
        output.print(table)
    for remark in [*report.model_notes(model), *report.agreement_notes(model, done), *remarks]:
        output.print(f"note: {remark}", markup=False, soft_wrap=True)
    output.print(
        f"{options.output}/: {', '.join(output_files.names_of('<record>', options.extension))}",
        markup=False,
        soft_wrap=True,
    )
    return done


def _check_no_copy(done: "Sequence[Annotated]") -> None:
    """The last record is no copy of an earlier one in another file format, nor an excerpt: its beats would count twice."""
    from ecgexp.data.identity import copies

    if (found := copies({one.record_id: one.windows for one in done})) is not None:
        one, other, number = found
        raise DataError(
            f"records {one} and {other} hold the same heartbeats, which would count twice: {number} windows are equal bit for "
            "bit; give one of them"
        )


def _warn_of_synthetic(model: "TrainedModel", console: Console) -> None:
    if model.is_synthetic:
        from rich.panel import Panel
        from rich.text import Text

        text = f"This model was trained on SYNTHETIC data, {model.classifier.database}: what it says of a heart means nothing."
        console.print(Panel(Text(text, style="bold"), border_style="red"))


def _fail(message: str, code: int) -> int:
    print(redact(f"ecgexp-predict: {message}"), file=sys.stderr)
    return code


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="ecgexp-predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--run", required=True, help="MLflow id, or folder, of the run whose model it is")
    add("records", nargs="+", metavar="RECORD", help="path of a WFDB record, with or without .hea")
    add(
        "--beats", choices=("reference", "detector"),
        help="take the annotated beats, or search for beats (reference where the file is there)",
    )  # fmt: skip
    add(
        "--annotator",
        default="atr",
        metavar="SUFFIX",
        help="of the reference annotations (%(default)s)",
    )
    add(
        "--output",
        type=Path,
        default=Path("predictions"),
        metavar="FOLDER",
        help="where to write (%(default)s)",
    )
    add(
        "--extension",
        default="ecgexp",
        metavar="SUFFIX",
        help="of the annotation files (%(default)s)",
    )
    add("--overwrite", action="store_true", help="replace files that are there")
    add(
        "--store",
        metavar="URI",
        help="MLflow store of the id (MLFLOW_TRACKING_URI, else mlruns/ here)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
