"""What the summary states as chance rests on the same patients, and on nothing else."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from finished_runs import CENTRALIZED, finished, guarantee, private

from ecgexp.analysis.report.chance import by_test_beats
from ecgexp.analysis.report.gather import choose, gather
from ecgexp.analysis.report.score_tables import score_table
from ecgexp.analysis.report.summary import summarize
from ecgexp.evaluation.bootstrap import cluster_bootstrap, paired_difference
from ecgexp.evaluation.confusion import confusion_scores

CLASSES = ("N", "S", "V")
PATIENTS, BEATS = 8, 60


def answers(rng, skill):
    """(labels, predicted, owner) of the same beats for each `skill`."""
    fixed = np.random.default_rng(3)
    labels, owner = fixed.choice(3, PATIENTS * BEATS, p=[0.8, 0.1, 0.1]), np.arange(PATIENTS)
    predicted = np.where(rng.random(len(labels)) < skill, labels, rng.integers(0, 3, len(labels)))
    return labels, predicted, np.repeat(owner, BEATS)


def by_patient(labels, predicted, owner):
    matrices = np.zeros((PATIENTS, 3, 3), int)
    np.add.at(matrices, (owner, labels, predicted), 1)
    return matrices


@pytest.fixture
def configurations(tmp_path):
    """[(learning rate, seed, matrices)] -> configurations."""

    def make(*runs):
        for old in tmp_path.iterdir():
            shutil.rmtree(old)
        for number, (rate, seed, matrices) in enumerate(runs):
            scores = confusion_scores(matrices.sum(axis=0), CLASSES)
            support = matrices.sum(axis=(0, 2))
            metrics = {f"test/{key}": float(scores[key]) for key in ("accuracy", "macro_f1")}
            metrics |= {f"test/support/{CLASSES[i]}": float(n) for i, n in enumerate(support)}
            metrics["test/majority/accuracy"] = float(support.max() / support.sum())
            finished(
                tmp_path / f"{number}",
                params={**CENTRALIZED, "trainer.learning_rate": rate},
                seed=seed,
                metrics=metrics,
                confusion=matrices,
                classes=CLASSES,
            )
        return gather(choose(parent=str(tmp_path))).configurations

    return make


def test_intervals_equal_those_of_the_evaluation(configurations):
    """Both ways draw the same resamples from the same seed."""
    rng = np.random.default_rng(0)
    first, second = answers(rng, 0.9), answers(rng, 0.7)
    made = configurations((0.1, 1, by_patient(*first)), (0.2, 1, by_patient(*second)))
    (group,) = by_test_beats(made, "test")
    clusters = {"class_names": CLASSES, "clusters": first[2]}
    alone = cluster_bootstrap(
        labels=first[0], predictions=first[1], rng=np.random.default_rng(0), **clusters
    )
    paired = paired_difference(
        labels=first[0],
        predictions=first[1],
        other_predictions=second[1],
        rng=np.random.default_rng(0),
        **clusters,
    )
    for score in ("accuracy", "macro_f1"):
        assert group.interval(made[0], score) == alone.intervals[score]
        assert group.difference(made[0], made[1], score).interval == paired.intervals[score]


def test_interval_of_seeds_is_of_their_mean(configurations):
    rng = np.random.default_rng(0)
    good, bad = by_patient(*answers(rng, 0.95)), by_patient(*answers(rng, 0.5))
    (one,) = made = configurations((0.1, 1, good), (0.1, 2, bad))
    (group,) = by_test_beats(made, "test")
    found = group.interval(one, "accuracy")
    assert found.low < one.score("test", "accuracy").mean < found.high
    assert found.high < confusion_scores(good.sum(axis=0), CLASSES)["accuracy"]
    cells = score_table(made, "test", intervals=group.interval).groups[0][0]
    assert f"[{found.low:.3f},\N{NO-BREAK SPACE}{found.high:.3f}]" in " ".join(cells)


def test_runs_on_other_beats_are_not_compared(configurations):
    rng = np.random.default_rng(0)
    labels, predicted, owner = answers(rng, 0.9)
    other = labels.copy()
    other[0] = (labels[0] + 1) % 3  # one beat of one patient is of another class
    made = configurations(
        (0.1, 1, by_patient(labels, predicted, owner)),
        (0.2, 1, by_patient(other, predicted, owner)),
    )
    groups = by_test_beats(made, "test")
    assert [len(group.configurations) for group in groups] == [1, 1]
    table = summarize(groups, made, "test").table
    assert {row[0][-1] for row in table.groups} == {"the only one"}
    assert any("2 different sets of test beats" in note for note in table.notes)


def test_seeds_with_other_patients_are_paired_by_seed(configurations):
    rng = np.random.default_rng(0)
    right, wrong = by_patient(*answers(rng, 0.95)), by_patient(*answers(rng, 0.4))

    def run(rate, seed, matrices):
        matrices = matrices.copy()
        matrices[seed] = 0  # each seed tests on all patients but one
        return rate, seed, matrices

    runs = [run(0.1, seed, right) for seed in (1, 2)] + [run(0.2, seed, wrong) for seed in (1, 2)]
    made = configurations(*runs)
    (group,) = by_test_beats(made, "test")
    assert group.num_patients == PATIENTS
    found = group.difference(made[0], made[1], "accuracy")
    assert 0 < found.interval.low < found.value < found.interval.high
    other = configurations(*runs[:-1], run(0.2, 3, wrong))
    assert len(by_test_beats(other, "test")) == 2  # seed 3 has other test beats than seed 2


def test_runs_without_predictions_have_no_interval(configurations):
    (one,) = made = configurations((0.1, 1, by_patient(*answers(np.random.default_rng(0), 0.9))))
    bare = [replace(one, rows=tuple(replace(row, by_patient=None) for row in one.rows))]
    (group,) = by_test_beats(bare, "test")
    assert group.num_patients == 0
    assert group.interval(made[0], "accuracy") is None


def test_summary_names_the_configurations_that_may_be_equal(configurations):
    rng = np.random.default_rng(0)
    best, worst = by_patient(*answers(rng, 0.97)), by_patient(*answers(rng, 0.3))
    alike = best.copy()
    place = tuple(np.argwhere(best[:, 0, 0])[0])  # one beat fewer is right
    alike[place[0], 0, 0] -= 1
    alike[place[0], 0, 1] += 1
    made = configurations((0.1, 1, worst), (0.2, 1, best), (0.3, 1, alike))
    found = summarize(by_test_beats(made, "test"), made, "test")
    accuracy = found.table.groups[0][0]
    assert accuracy[1].startswith("[2] learning_rate 0.2")
    assert accuracy[-1].endswith("may be chance for 1 of 2: [3]")
    assert found.differs == [("trainer.learning_rate", "0.1, 0.2, 0.3")]


def test_score_at_the_baseline_is_stated(configurations):
    labels, _, owner = answers(np.random.default_rng(0), 1.0)
    constant = by_patient(labels, np.zeros_like(labels), owner)
    made = configurations((0.1, 1, constant))
    table = summarize(by_test_beats(made, "test"), made, "test").table
    assert table.groups[0][0][3].endswith("; equal")


def test_best_of_equal_scores_has_the_smallest_epsilon(tmp_path):
    matrices = by_patient(*answers(np.random.default_rng(0), 0.9))
    for noise, epsilon in ((0.8, 9.5), (2.0, 1.5), (1.1, 4.5)):
        run = {"params": private(noise), "privacy": guarantee(epsilon)}
        finished(tmp_path / f"{noise}", confusion=matrices, classes=CLASSES, **run)
    made = gather(choose(parent=str(tmp_path))).configurations
    found = summarize(by_test_beats(made, "test"), made, "test")
    for (row,) in found.table.groups:
        assert row[1].endswith("noise_multiplier 2.0, ε 1.50")
        assert row[-1] == "[1] [2] are equal"
    assert [one.epsilon.mean for one in found.best] == [1.5]
    assert any("smallest ε" in note for note in found.table.notes)
