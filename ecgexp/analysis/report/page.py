"""Render the report as one self-contained HTML page, with one script that sorts tables."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ecgexp.analysis.report import published
from ecgexp.analysis.report.chance import EvaluatedTogether, by_test_beats
from ecgexp.analysis.report.gather import Gathered
from ecgexp.analysis.report.groups import Configuration
from ecgexp.analysis.report.summary import summarize
from ecgexp.evaluation.bootstrap import Interval
from ecgexp.privacy import outputs, publication

_FOLDER = Path(__file__).parent
_SCRIPT, _STYLE = _FOLDER / "sort.js", _FOLDER / "page.css"
_FEW = 3  # configurations, up to which nothing about scores is folded


def render(gathered: Gathered, *, made: datetime, public: bool = False) -> str:
    """Render the page.

    Args:
      gathered: content of the page.
      made: date and time that the page shows.
      public: whether to leave out values that were computed from private data without noise; the
        page then lists what was left out.

    Returns:
      The HTML text.
    """
    return render_template("page.html.j2", _context(gathered, made, public))


def render_template(name: str, context: Mapping[str, Any], *, folder: Path = _FOLDER) -> str:
    """Render a page with the style sheet, the script and the policy that all pages share.

    Args:
      name: of the template.
      context: its variables.
      folder: folder of the template; those of this package can be imported by it.

    Returns:
      The HTML text.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    def breakable(text: str) -> Markup:
        """Allow line breaks after the dots and underscores of a name, for small screens."""
        return Markup(str(escape(text)).replace(".", ".<wbr>").replace("_", "_<wbr>"))

    environment = Environment(
        loader=FileSystemLoader([folder, _FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    environment.filters["score_parts"] = _score_parts
    script = _SCRIPT.read_text(encoding="utf-8")
    # Both are files of the package, and hold nothing of the runs.
    fixed = {"script": Markup(script), "style": Markup(_STYLE.read_text(encoding="utf-8").strip())}
    values = {**context, "policy": content_policy(script), **fixed}
    return environment.get_template(name).render(values)


def content_policy(script: str) -> str:
    """Return the Content-Security-Policy of a page: no connection, no image, and one script.

    **Guarantees** (`tests/unit/analysis/report/test_page.py`): the browser runs a script only if
    its SHA-256 is that of `script`, so that text of a run cannot become a script, whatever it is.

    Args:
      script: the text between the tags of the page's script.
    """
    found = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{found}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _score_parts(text: str) -> list[str]:
    """Return a score, then its range, its interval and the classes of its average."""
    is_score = text[:1].isdecimal() and ";" not in text
    return re.split(r" (?=\(|\[|over )", text) if is_score else [text]


def _context(gathered: Gathered, made: datetime, public: bool) -> dict[str, Any]:
    from ecgexp.analysis.report import curves, drawings, patients, score_tables, tables
    from ecgexp.analysis.report.quality_table import quality_table

    every = gathered.configurations
    split = evaluated_split(every)
    scored = [one for one in every if one.score(split, "accuracy").is_defined]
    comparable = [one for one in scored if not one.protocol_errors]
    noisy = any(one.guarantee != "none" for one in every)
    hidden = public and noisy
    with_clients = [one for one in every if any(row.clients for row in one.rows)]
    shown_clients = [one for one in with_clients if not (public and one.guarantee != "none")]
    groups = by_test_beats(comparable, split)
    summary = summarize(groups, every, split)
    shown_best = [one for one in summary.best if not (public and one.guarantee != "none")]
    best, others = drawings.confusion_drawings(every, first=summary.best)
    return {
        "title": gathered.title,
        "made": made.strftime("%Y-%m-%d %H:%M %Z").strip(),
        "split": split,
        "configurations": every,
        "num_runs": len(gathered.rows),
        "failures": gathered.failures,
        "sweep": gathered.sweep,
        "together": gathered.together,
        "unscored": [one for one in every if one not in scored],
        "databases": gathered.databases,
        "digests": {} if hidden else gathered.digests,
        "synthetic": _synthetic(gathered.databases),
        "public": public,
        "left_out": left_out(noisy) if public else [],
        "count_tables": tables.count_tables(every, counted_splits(hidden)),
        "with_protocol_errors": [one for one in every if one.protocol_errors],
        "curves": drawings.curve_drawings(comparable, split),
        "noisy": noisy,
        "has_baselines": bool(curves.baselines(comparable)),
        "references": _references(gathered.databases),
        "few": len(every) <= _FEW,
        "has_seeds": any(len(one.rows) > 1 for one in every),
        "summary": summary,
        "score_table": score_tables.score_table(
            every, split, intervals=_intervals(groups), evaluations=gathered.evaluations
        )
        if every
        else None,
        "note_table": score_tables.note_table(every, public=public),
        "quality_table": quality_table(scored, split),
        "class_table": score_tables.class_table(scored, split) if scored else None,
        "training_table": tables.training_table(every) if every and not public else None,
        "classes": drawings.class_drawings(scored, split),
        "matrices": best,
        "folded_matrices": others,
        "most_matrices": drawings.MOST_MATRICES,
        "num_matrices": len(drawings.having_matrices(every)),
        "patients": patients.worst(shown_best),
        "hides_patients": len(shown_best) < len(summary.best),
        "has_clients": bool(with_clients),
        "hides_clients": len(shown_clients) < len(with_clients),
        "client_drawings": drawings.client_drawings(shown_clients),
        "num_client_configurations": len(shown_clients),
        "most_client_figures": drawings.MOST_CLIENT_FIGURES,
        "client_table": score_tables.client_table(shown_clients) if shown_clients else None,
        "resource_table": tables.resource_table(every) if every else None,
        "time": drawings.time_drawing(every),
        "statements": [(one, statements(one)) for one in every if one.guarantee != "none"],
    }


def _intervals(
    groups: Sequence[EvaluatedTogether],
) -> Callable[[Configuration, str], Interval | None]:
    """Return the function that gives the interval of a configuration's score over patients."""
    group_of = {one.number: group for group in groups for one in group.configurations}

    def interval(one: Configuration, score: str) -> Interval | None:
        group = group_of.get(one.number)
        return None if group is None else group.interval(one, score)

    return interval


def evaluated_split(configurations: Sequence[Configuration]) -> str:
    """Return `test`, or `validation` if no run was evaluated on test beats."""
    scored = [row.metrics for one in configurations for row in one.rows]
    on_test = any("test/accuracy" in metrics for metrics in scored)
    return (
        "test"
        if on_test or not any("validation/accuracy" in metrics for metrics in scored)
        else "validation"
    )


def counted_splits(hidden: bool) -> list[str]:
    """Return the splits whose numbers of beats are shown.

    Args:
      hidden: whether to show only those that `outputs.TABLE` publishes.
    """
    splits = ("train", "validation", "test")
    return [
        split
        for split in splits
        if not hidden or publication.is_published("result key", f"data/beats/{split}")
    ]


def left_out(noisy: bool) -> list[str]:
    """Return what a public page omits, with the reasons in `outputs.TABLE`."""
    names: list[tuple[outputs.Kind, str]] = [("metric", "curve/train/loss")]
    if noisy:
        names.extend(
            [
                ("file", "tables/test_per_client.csv"),
                ("file", "tables/test_strips.parquet"),
                ("result key", "data/beats/train"),
            ]
        )
    reasons = [
        entry.reason for kind, name in names if (entry := publication.find(kind, name)) is not None
    ]
    return reasons + (
        ["the digest of the beats, which earlier versions published without a key"] if noisy else []
    )


def statements(configuration: Configuration) -> list[tuple[str, str]]:
    """Return (seeds, text) of each distinct privacy statement of a configuration's runs."""
    texts: dict[str, list[str]] = {}
    for row in configuration.rows:
        text = (
            row.statement or (row.privacy or {}).get("statement") or "The run stored no statement."
        )
        texts.setdefault(text, []).append(row.seed or "?")
    return [(", ".join(seeds), text) for text, seeds in texts.items()]


def _references(databases: Sequence[str]) -> dict[str, Any]:
    if not published.applies_to(list(databases)):
        return {}
    from ecgexp.analysis.report.curves import reference_key

    return {"citations": published.CITATIONS, "key": reference_key()}


def _synthetic(databases: Sequence[str]) -> str:
    """Return `all`, `some` or an empty text: how many of the databases are synthetic."""
    generated = [name for name in databases if "synthetic" in name.lower()]
    return "" if not generated else "all" if len(generated) == len(databases) else "some"
