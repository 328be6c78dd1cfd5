import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from finished_runs import (
    CENTRALIZED,
    CLASSES,
    SYNTHETIC,
    evaluated,
    failed,
    finished,
    guarantee,
    private,
    strip,
)

from ecgexp.analysis.report import page as page_module
from ecgexp.evaluation.confusion import confusion_scores

HOSTILE = "<script>alert('x')</script>&\"' $\\frac{ --> ]]> é\x07"
FEDERATED = {**CENTRALIZED, "trainer._target_": "ecgexp.training.Federated"}
CLIENTS = [
    {
        "client": f"{100 + i}",
        "beats": 50 + i,
        "accuracy": 0.5 + 0.1 * i,
        "macro_f1": 0.4,
        "majority_accuracy": 0.9,
    }
    for i in range(3)
]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A folder with runs of every kind."""
    tmp_path = tmp_path_factory.mktemp("sweep")
    rng = np.random.default_rng(0)
    for seed in (1, 2):
        evaluated(tmp_path / f"{seed}", rng, skill=0.95, params=CENTRALIZED, seed=seed)
        evaluated(
            tmp_path / f"{seed + 2}",
            rng,
            skill=0.8,
            params=private(0.8),
            seed=seed,
            privacy=guarantee(7.5),
        )
        evaluated(
            tmp_path / f"{seed + 4}",
            rng,
            skill=0.5,
            params=private(2.0),
            seed=seed,
            privacy=guarantee(1.25),
        )
    evaluated(tmp_path / "7", rng, skill=0.9, params=FEDERATED, clients=CLIENTS)
    unit = {"privacy": guarantee(20, unit="patient"), "clients": CLIENTS}
    evaluated(
        tmp_path / "8",
        rng,
        skill=0.6,
        params={**private(1.0), **FEDERATED, "privacy.unit": "patient"},
        **unit,
    )
    failed(
        tmp_path / "9",
        reason="DataError: training diverged; try a smaller trainer.learning_rate",
        name="too fast",
    )
    return tmp_path


@pytest.fixture(scope="module")
def page(sweep, make_page):
    """The page about them."""
    return make_page(sweep)


def test_page_has_no_external_references(page):
    fetching = (
        "src",
        "href",
        "xlink:href",
        "srcset",
        "data",
        "action",
        "poster",
        "background",
        "formaction",
        "ping",
    )
    for name, attributes in page.elements:
        assert name not in (
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "image",
            "base",
            "form",
            "video",
            "audio",
        )
        for attribute in fetching:
            assert (attributes.get(attribute) or "#").startswith("#"), (name, attribute, attributes)
        assert not any(attribute.startswith("on") for attribute in attributes)
    assert not re.search(r"@import|url\((?!#)|src\s*=|expression\(", page.source)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page.source))
    assert addresses == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }  # names of namespaces


def test_page_runs_only_the_script_of_its_policy(page):
    """The policy names the SHA-256 of the one script, which is a file without data of the runs."""
    (script,) = re.findall(r"<script[^>]*>(.*?)</script>", page.source, flags=re.DOTALL)
    found = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert [meta["content"] for meta in page.all("meta") if meta.get("http-equiv")] == [
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{found}'; "
        "base-uri 'none'; form-action 'none'"
    ]
    assert page.all("script") == [{}]
    assert script == (Path(page_module.__file__).parent / "sort.js").read_text(encoding="utf-8")


def test_page_is_well_formed_with_valid_references(page):
    assert page.unclosed == []
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    used = [
        word
        for _, attributes in page.elements
        for attribute in ("href", "xlink:href", "aria-labelledby", "clip-path")
        for word in re.sub(r"url\(|\)|#", " ", attributes.get(attribute) or "").split()
    ]
    assert len(used) > 100
    assert set(used) <= set(identifiers)


def test_page_has_texts_for_screen_readers(page):
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert all(cell.get("scope") in ("col", "row", "rowgroup") for cell in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) > 5
    images = page.all("svg")
    assert len(images) >= 2 + 5 + 5 + 2 + 1
    for image in images:
        assert image["role"] == "img"
        name, words = image["aria-labelledby"].split()
        assert re.search(rf'<title id="{name}">[^<]+</title>', page.source)
        assert re.search(rf'<desc id="{words}">[^<]+</desc>', page.source)


def test_names_and_tags_cannot_become_markup(tmp_path, report):
    bad = {"trainer.odd": HOSTILE}
    finished(
        tmp_path / "1",
        params={**private(1.0), **bad},
        name=HOSTILE,
        database=f"synthetic {HOSTILE}",
        tags={"command": HOSTILE},
        privacy={**guarantee(2.0, unit=HOSTILE), "statement": HOSTILE},
        classes=("N", HOSTILE),
        digest=HOSTILE,
        undefined={"test/jk_index": HOSTILE},
        confusion=np.array([[3, 1], [1, 2]]),
        strips=strip("100", 3, lead=HOSTILE),
        clients=[CLIENTS[0] | {"client": HOSTILE}],
    )
    finished(
        tmp_path / "2", params={**private(1.0), "trainer.odd": "ordinary"}, privacy=guarantee(1.0)
    )
    failed(tmp_path / "3", reason=HOSTILE, name=HOSTILE, params=bad)
    page = report()
    assert page.unclosed == []
    assert page.source.count("<script") == len(page.all("script")) == 1
    assert page.text.count("<script>alert('x')</script>") >= 7


def test_score_table_equals_values_computed_by_hand(tmp_path, report):
    for seed, accuracy, f1 in ((1, 0.5, 0.1), (2, 0.75, 0.2), (3, 0.7, 0.6)):
        metrics = {
            "test/accuracy": accuracy,
            "test/macro_f1": f1,
            "test/f1/V": f1 / 2,
            "test/support/V": 7,
        }
        finished(
            tmp_path / f"{seed}",
            params=private(0.8),
            seed=seed,
            metrics=metrics,
            privacy=guarantee(7.5),
            seconds=100 * seed,
        )
    alone = {"test/accuracy": 0.9, "test/accuracy_ci_low": 0.85, "test/accuracy_ci_high": 0.95}
    finished(
        tmp_path / "4",
        params=CENTRALIZED,
        seed=5,
        metrics=alone,
        undefined={"test/jk_index": "no beat was predicted S"},
    )
    page = report()
    header, first, second = page.tables["Scores on the test beats, one row per configuration"]
    found = [dict(zip(header, row, strict=True)) for row in (first, second)]
    assert (found[0]["seeds"], found[1]["seeds"]) == ("5", "1, 2, 3")
    assert (found[0]["trainer"], found[1]["trainer"]) == ("Centralized", "DpSgd")
    assert "privacy.noise_multiplier" not in header  # it does not vary among the runs that have it
    assert [one["accuracy"] for one in found] == ["0.900 [0.850, 0.950]", "0.650 (0.500–0.750)"]
    assert [one["macro F1"] for one in found] == ["undefined", "0.300 (0.100–0.600)"]
    assert [(one["ε"], one["δ"]) for one in found] == [
        ("no privacy guarantee", "–"),
        ("7.50", "1e-05"),
    ]
    assert [one["time of a run"] for one in found] == ["60 s", "200 s (100 s to 300 s)"]
    assert "undefined, jk index: no beat was predicted S [1]" in page.text
    classes = page.tables["Scores of each class on the test beats"]
    assert ["V", "7", "0.150 (0.050–0.300)", "undefined", "undefined"] in classes
    times = page.tables["Time and memory"]
    assert times[2] == ["[2]", "3", "200 s (100 s to 300 s)", "10 min"]


def test_page_states_the_epsilon_of_overlapping_rows(tmp_path, report):
    groups = [{}, {"epsilon_overlap": 27.941}, {"epsilon_overlap": None}]
    for number, group in enumerate(groups):
        rows = {"rows_per_unit": 1, "overlapping_rows": 5 if group else 1}
        finished(
            tmp_path / f"{number}",
            params=private(number + 1.0),
            privacy=guarantee(3.301 - number) | rows | group,
        )
    infinite = {
        "guarantee": False,
        "simulation": False,
        "epsilon": None,
        "statement": "no claim",
        "delta": 1e-5,
    }
    finished(tmp_path / "infinite", params=private(1e-4), privacy=infinite)
    header, *rows = report().tables["Scores on the test beats, one row per configuration"]
    found = {row[header.index("ε")].replace("\N{NO-BREAK SPACE}", " ") for row in rows}
    assert found == {
        "3.31",
        "2.31; 28.0 of 5 rows that share samples",
        "1.31; ∞ of 5 rows that share samples",
        "no privacy guarantee",
    }


def test_memory_is_shown_where_it_was_logged(tmp_path, report):
    finished(
        tmp_path / "1",
        params=CENTRALIZED,
        metrics={"test/accuracy": 1.0, "system/peak_memory_gib": 1.234},
    )
    page = report()
    assert page.tables["Time and memory"][0][-1] == "system/peak_memory_gib"
    assert page.tables["Time and memory"][1][-1] == "1.23"
    assert "Memory was not logged" not in page.text


def test_mean_over_some_seeds_states_the_undefined_ones(tmp_path, report):
    for seed, more in ((1, {"test/jk_index": 0.4}), (2, {})):
        finished(
            tmp_path / f"{seed}",
            params=CENTRALIZED,
            seed=seed,
            metrics={"test/accuracy": 0.5, **more},
        )
    assert "0.400 (undefined in 1 of 2)" in report().text


def test_matrices_are_summed_over_the_seeds(tmp_path, report):
    one, two = np.arange(25).reshape(5, 5), np.eye(5, dtype=int)
    finished(tmp_path / "1", params=CENTRALIZED, seed=1, confusion=one)
    finished(tmp_path / "2", params=CENTRALIZED, seed=2, confusion=two)
    page = report()
    assert "true N: 1 as N, 1 as S, 2 as V, 3 as F, 4 as Q; true S: 5 as N, 7 as S" in page.source
    assert "sum of 2 runs" in page.text


def test_number_of_drawn_matrices_is_limited(tmp_path, report):
    for i in range(14):
        finished(
            tmp_path / f"{i}",
            params={**CENTRALIZED, "trainer.epochs": i},
            confusion=np.eye(5, dtype=int),
        )
    page = report()
    assert page.source.count('<desc id="confusion-') == 12
    assert "The first 12 of 14 configurations are drawn" in page.text


def test_beats_are_counted_once_for_each_partition(tmp_path, report):
    for seed, beats in enumerate((7001, 7001, 6000)):
        finished(tmp_path / f"{seed}", params=CENTRALIZED, seed=seed, train_beats=beats)
    tables = report().tables
    assert tables[f"Beats of {SYNTHETIC}, as assigned in run 0"][1:] == [
        ["train", *["7001"] * 5],
        ["test", *["301"] * 5],
    ]
    assert tables[f"Beats of {SYNTHETIC}, as assigned in run 2"][1] == ["train", *["6000"] * 5]
    for seed in range(3, 6):
        finished(tmp_path / f"{seed}", params=CENTRALIZED, seed=seed, train_beats=seed)
    assert "Other runs assign the beats in 2 other ways" in report().text


def test_synthetic_data_are_named_first(tmp_path, report):
    finished(tmp_path / "1", params=CENTRALIZED, database=SYNTHETIC)
    assert "Synthetic data. All beats on this page are synthetic." in report().text
    finished(tmp_path / "2", params=CENTRALIZED, database="mitdb 1.0.0", digest="d2")
    assert "Synthetic data. Some runs on this page use synthetic beats." in report().text


def test_run_with_protocol_errors_is_marked_and_on_no_curve(tmp_path, report):
    finished(tmp_path / "1", params=private(1.0), database="mitdb 1.0.0", privacy=guarantee(2.0))
    finished(
        tmp_path / "2", params=CENTRALIZED, database="mitdb 1.0.0", metrics={"test/accuracy": 0.751}
    )
    assert "Protocol errors switched on" not in report().text
    assert re.findall(r"no privacy (\[\d\]: 0\.\d+)", report().source) == ["[1]: 0.751"]
    faults = {
        "protocol_errors.protocol": "central",
        "protocol_errors.split_by_beat": True,
        "protocol_errors.beat_cap": False,
        "protocol_errors.last_checkpoint": True,
    }
    finished(
        tmp_path / "3",
        params=CENTRALIZED | faults,
        database="mitdb 1.0.0",
        metrics={"test/accuracy": 0.999},
    )
    page = report()
    assert "Protocol errors switched on." in page.text
    assert re.search(r"\[\d\] split_by_beat, last_checkpoint", page.source.replace("<wbr>", ""))
    assert re.findall(r"no privacy (\[\d\]: 0\.\d+)", page.source) == ["[1]: 0.751"]


def test_real_data_are_unmarked_and_with_published_scores(tmp_path, report):
    finished(tmp_path / "1", params=private(1.0), database="mitdb 1.0.0", privacy=guarantee(2.0))
    page = report()
    assert "ynthetic" not in page.text
    assert "not the same guarantee" in page.text
    assert "doi:10.1145/3320269.3384740" in page.text
    assert "FedAvg, non-IID clients: 0.877" in page.text


def test_published_scores_are_not_shown_for_synthetic_data(tmp_path, report):
    finished(tmp_path / "1", params=private(1.0), privacy=guarantee(2.0))
    assert "Abuadbba" not in report().source


def test_failed_run_is_listed_and_breaks_nothing(page):
    assert "8 runs finished, in 5 configurations; 1 did not finish" in page.text
    failed = page.text[page.text.index("Runs that failed These") :]
    assert "too fast FAILED" in failed
    assert "training diverged; try a smaller trainer.learning_rate" in failed


def test_page_of_failures_states_that_no_run_finished(tmp_path, report):
    failed(tmp_path / "1", reason="DataError: no such file")
    page = report()
    assert page.unclosed == []
    assert "No run finished." in page.text
    assert "DataError: no such file" in page.text


def test_run_without_scores_is_on_the_page(tmp_path, report):
    finished(tmp_path / "1", params=private(1.0), metrics={}, privacy=guarantee(1.0))
    page = report()
    assert "Not scored on test beats: [1]." in page.text
    assert "No run with noise has both a finite ε and a score" in page.text


def test_validation_scores_are_labeled_as_such(tmp_path, report):
    finished(
        tmp_path / "1",
        params=CENTRALIZED,
        metrics={"validation/accuracy": 0.625, "validation/macro_f1": 0.5},
    )
    page = report()
    assert "No run was evaluated on its test beats." in page.text
    assert "0.625" in page.tables["Scores on the validation beats, one row per configuration"][1]


def test_every_row_has_its_command_and_guarantee(page):
    assert page.text.count("ecgexp seed=1") == 3
    assert "ε = 7.50 (δ 1e-05) · unit: beat" in page.text
    assert (
        page.text.count("ε = 7.50 (δ 1e-05)") == 1
    )  # both seeds have the same guarantee, which is stated once
    assert "seeds 1, 2" in page.text


def test_clients_are_shown_with_their_range(tmp_path, report):
    for seed, shift in ((1, 0.0), (2, 0.2)):
        clients = [client | {"accuracy": client["accuracy"] + shift} for client in CLIENTS]
        finished(tmp_path / f"{seed}", params=FEDERATED, seed=seed, clients=clients)
    page = report()
    table = page.tables["Each client's test beats"]
    assert table[0] == [
        "client",
        "beats",
        "majority-class baseline",
        "accuracy [1]",
        "macro F1 [1]",
    ]
    assert table[1] == ["100", "50", "0.900", "0.600 (0.500–0.700)", "0.400"]


def test_public_page_leaves_out_values_without_noise(sweep, page, make_page):
    public = make_page(sweep, public=True)
    for secret in (
        "43.210",
        "97.531",
        "7001",
        "d1",
        "Training",
    ):  # scores of the last epoch, training counts, the digest
        assert secret in page.text
        assert not re.search(rf"\b{secret}\b", public.text), secret
    assert "Digest" not in public.text
    assert page.tables["Each client's test beats"][0][3:5] == ["accuracy [2]", "accuracy [5]"]
    assert public.tables["Each client's test beats"][0][3:] == ["accuracy [2]", "macro F1 [2]"]
    assert 'id="clients-5-desc"' not in public.source
    assert "leaves out what is computed from private data without noise" in public.text
    assert "The scores of single clients of runs with privacy are left out" in public.text
    assert "leaves out" not in page.text


def test_public_page_without_guarantees_keeps_its_clients(tmp_path, report):
    finished(tmp_path / "1", params=FEDERATED, clients=CLIENTS)
    page = report(public=True)
    assert "Each client's test beats" in page.tables
    assert "Digest" in page.text
    assert "43.210" not in page.text


def test_row_scores_agree_with_the_confusion_matrix(page):
    """The table's F1 and the matrix drawn from the predictions come by different ways and must
    agree.
    """
    words = re.search(r'<desc id="confusion-2-desc">([^<]+)</desc>', page.source)[1]
    matrix = np.zeros((5, 5))
    for i, part in enumerate(words.split("; ")):
        for count, name in re.findall(r"(\d+) as (\w)", part):
            matrix[i, CLASSES.index(name)] = int(count)
    expected = confusion_scores(matrix, CLASSES)
    shown = page.tables["Scores on the test beats, one row per configuration"][2]
    assert f"{expected['macro_f1']:.3f}" in " ".join(shown)
    assert f"{expected['accuracy']:.3f}" in " ".join(shown)


# Two patients, 100 and 101: one N of the first is taken for S, one V of the second for N.
BY_PATIENT = np.array([np.diag([3, 0, 1, 0, 0]), np.diag([6, 0, 3, 0, 0])])
BY_PATIENT[0, 0, 1] = BY_PATIENT[1, 2, 0] = 1


def test_worst_patients_are_shown_with_their_mistakes(tmp_path, report):
    place = 3  # the beats of patient 100 are N N N N V, of which the fourth is taken for S
    finished(
        tmp_path / "1",
        params=CENTRALIZED,
        confusion=BY_PATIENT,
        strips=strip("100", place),
    )
    page = report()
    rows = page.tables["Patients with the lowest accuracy, of 2: [1]"]
    assert [row[:3] + row[4:] for row in rows[1:]] == [
        ["100", "5", "0.800", "N taken for S: 1 of 4"],
        ["101", "10", "0.900", "V taken for N: 1 of 4"],
    ]
    assert "record 100, 0:03.0: N taken for S (probability 0.000)" in page.text
    assert "from left to right: N, N, N, N→S, V</desc>" in page.source


def test_damaged_strips_are_named_and_break_nothing(tmp_path, report):
    made = finished(
        tmp_path / "1", params=CENTRALIZED, confusion=BY_PATIENT, strips=strip("100", 3)
    )
    (made / "tables" / "test_strips.parquet").write_bytes(b"PAR1 and no table")
    assert "test_strips.parquet" in report().text


def test_public_page_of_private_runs_has_no_patients(tmp_path, report):
    finished(
        tmp_path / "1",
        params=private(1.0),
        privacy=guarantee(2.0),
        confusion=BY_PATIENT,
        strips=strip("100", 3),
    )
    assert 'id="strip-1-0-desc"' in report().source
    public = report(public=True)
    assert "strip-" not in public.source
    assert not [caption for caption in public.tables if "Patients with" in caption]
    assert "signals of single patients of runs with privacy are left out" in public.text
    assert "10 seconds of signal around misclassified held-out beats" in public.text
