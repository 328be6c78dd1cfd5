"""The pages under `docs/results/`, from templates without measured numbers."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ecgexp.analysis import formatting
from ecgexp.analysis.results_page import rows, tables
from ecgexp.analysis.results_page.groups import PublishedResults, ResultGroup
from ecgexp.formatting import epsilon_text, score_text

_TEMPLATES = Path(__file__).parent / "templates"
_NOTE = (
    "<!-- Written by scripts/results_page.py from results/ and a template: change those, not this "
    "page. -->\n\n"
)
_SCORES = ("test/accuracy", "test/jk_index", "test/f1/S", "test/f1/V")
_PRIVATE = ("test/accuracy", "test/macro_f1", "test/f1/S", "test/f1/V")
_INTRA = ("test/accuracy", "test/macro_f1", "test/f1/A")


def pages(results: PublishedResults, study: str) -> dict[str, str]:
    """Return name -> Markdown of all pages.

    Args:
      results: all published results.
      study: the tables of the replicated study, as Markdown.

    Raises:
      DataError: a row of a table has no result.
    """
    values = {
        "index": _index(results),
        "inter_patient": _inter_patient(results),
        "intra_patient": {
            "table": tables.results_table(rows.INTRA_PATIENT, results, _INTRA),
            "commands": tables.commands(_groups(rows.INTRA_PATIENT, results)),
        },
        "privacy": _privacy(results),
        "federated": _federated(results),
        "replication": {"study": study, **_replication(results)},
        "evaluation_log": {
            "log": tables.evaluation_log(results, "DS2"),
            "carried": sum(
                line.provenance.source == "carried over" for line in results.evaluations("DS2")
            ),
        },
    }
    return {f"{name}.md": _render(name, known) for name, known in values.items()}


def summary(results: PublishedResults, *, folder: str) -> str:
    """Return the table of the README and of the index, below what it was measured on.

    Args:
      results: all published results.
      folder: path of `docs/results/` from the page that shows the table, with its last slash.
    """
    first, merged = _group(rows.SUMMARY[0], results), _group(rows.SUMMARY_MERGED, results)
    values = {
        "table": tables.summary_table(rows.SUMMARY, results),
        "folder": folder,
        "first_row": formatting.score_range(first.score("test/f1/S")),
        "merged": formatting.score_range(merged.score("test/f1/S")),
        "runs": sum(len(line.seeds) for line in results.evaluations("DS2")),
    }
    return _fill("summary", values)


def _index(results: PublishedResults) -> dict[str, Any]:
    experiments = dict.fromkeys(line.experiment for line in results.lines)
    stale = dict.fromkeys(
        (experiment, group.stale.removeprefix("stale: "))
        for experiment in experiments
        for group in results.groups(experiment)
        if group.stale
    )
    return {
        "summary": summary(results, folder=""),
        "carried": sum(line.provenance.source == "carried over" for line in results.lines),
        "total": len(results.lines),
        "stale": list(stale),
    }


def _inter_patient(results: PublishedResults) -> dict[str, Any]:
    folds = [group.score("test/jk_index").mean for group in _groups(rows.FOLDS, results)]
    return {
        "table": tables.results_table(rows.INTER_PATIENT, results, _SCORES),
        "commands": tables.commands(_groups(rows.INTER_PATIENT, results)),
        "folds": ", ".join(map(score_text, folds)),
    }


def _privacy(results: PublishedResults) -> dict[str, Any]:
    noisiest = min(_groups(rows.PATIENT_LEVEL, results), key=lambda group: group.epsilon.mean)
    found = noisiest.score("test/f1/V")
    without = _group(rows.NOISE_SWEEP_WITHOUT, results)
    return {
        "inter": tables.privacy_table(rows.PRIVACY, results, _PRIVATE),
        "inter_commands": tables.commands(_groups(rows.PRIVACY, results)),
        "hypothetical": tables.hypothetical_table(rows.PATIENT_LEVEL, results),
        "baseline": f"{noisiest.score('test/majority/accuracy').mean:.3f}",
        "low": f"{found.low:.2f}",
        "high": f"{found.high:.2f}",
        "intra": tables.privacy_table(rows.PRIVACY_INTRA, results, _INTRA),
        "intra_commands": tables.commands(_groups(rows.PRIVACY_INTRA, results)),
        "sweep": tables.sweep_table(
            results.groups(rows.NOISE_SWEEP), ("test/accuracy", "test/macro_f1")
        ),
        "without": formatting.score_range(without.score("test/accuracy")),
    }


def _federated(results: PublishedResults) -> dict[str, Any]:
    alike = _group(rows.FEDERATED[1], results).score("test/accuracy").mean
    central = _group(rows.INTRA_PATIENT[0], results).score("test/accuracy").mean
    baselines = _group(rows.BASELINES, results)
    own = [name for name in tables.NAMES if name.startswith("federated_baseline/")]
    lines = [
        f"- {tables.NAMES[name]}: {formatting.score_range(baselines.score(name))}" for name in own
    ]
    metrics = ("test/accuracy", "test/macro_f1", "test/clients/accuracy_worst_decile")
    return {
        "table": tables.results_table(rows.FEDERATED, results, metrics),
        "commands": tables.commands(_groups(rows.FEDERATED, results)),
        "loss": f"{central - alike:.3f}",
        "central": score_text(central),
        "baselines": "\n".join(lines),
        "baselines_overrides": " ".join(rows.BASELINES.overrides),
        "global_accuracy": formatting.score_range(baselines.score("test/accuracy")),
    }


def _replication(results: PublishedResults) -> dict[str, Any]:
    central, dp, federated = (
        results.groups(f"replication/{protocol}") for protocol in ("central", "dp", "federated")
    )

    def mean(group: ResultGroup, metric: str = "test/accuracy") -> str:
        return f"{group.score(metric).mean:.2f}"

    return {
        "first": mean(central[0]),
        "last": mean(central[-1]),
        "last_baseline": mean(central[-1], "test/majority/accuracy"),
        "with_noise": epsilon_text(dp[0].score("replication/epsilon_had_it_run").mean),
        "corrected_epsilon": epsilon_text(dp[-1].epsilon.mean),
        "corrected": mean(dp[-1]),
        "corrected_baseline": mean(dp[-1], "test/majority/accuracy"),
        "federated": mean(federated[-1]),
    }


def _group(row: tables.ResultRow, results: PublishedResults) -> ResultGroup:
    return results.group(row.experiment, row.overrides)


def _groups(wanted: Iterable[tables.ResultRow], results: PublishedResults) -> list[ResultGroup]:
    return [_group(row, results) for row in wanted]


def _render(name: str, values: Mapping[str, Any]) -> str:
    return _NOTE + _fill(name, values) + "\n"


def _fill(name: str, values: Mapping[str, Any]) -> str:
    """Return the text of a template, without its last newline."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # Markdown needs no escapes
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,
    )
    return environment.get_template(f"{name}.md.j2").render(values).rstrip("\n")
