"""Scores with and without beats that show no usable ECG stand side by side in a report."""

from finished_runs import CENTRALIZED, finished, private


def marked(noise, accuracy):
    scores = {"accuracy": {"all": 0.5, "without_marked": accuracy}}
    return {"test": {"beats": 505, "marked": {"noise": noise, "flat": 1}, "scores": scores}}


CAPTION = "Scores on the test beats with and without those that show no usable ECG"


def test_scores_with_and_without_marked_beats_are_shown(tmp_path, report):
    for seed, noise in ((1, 5), (2, 7)):
        values = marked(noise, 0.6 + seed / 10)
        finished(tmp_path / str(seed), params=CENTRALIZED, seed=seed, quality=values)
    finished(tmp_path / "3", params=private(0.8))
    page = report()
    (row,) = (row for row in page.tables[CAPTION] if "noise 6" in " ".join(row))
    assert row[1] == "505"
    assert row[2].endswith("(noise 6, flat 1)")
    assert [cell[:5] for cell in row[3:5]] == ["0.500", "0.750"]
    assert not page.unclosed


def test_table_is_left_out_without_marked_beats(tmp_path, report):
    clean = {"test": {"beats": 505, "marked": {}, "scores": {}}}
    finished(tmp_path / "1", params=CENTRALIZED, quality=clean)
    assert "usable ECG" not in report().text
