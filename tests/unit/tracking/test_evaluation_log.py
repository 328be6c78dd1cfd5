"""The log of evaluations on test beats: what counts, whoever writes and however that ends."""

import json
import multiprocessing

import pytest

from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking.evaluation_log import (
    NAME,
    Count,
    EvaluatedRun,
    EvaluationLog,
    SealOpenedError,
    evaluations_of,
)


def run_of(name, configuration="c"):
    return EvaluatedRun(
        id=name, configuration=configuration, name=name, run_dir=f"/{name}", run_id=None
    )


def evaluate(log, name, configuration="c", predictions="p", *, test_set="s"):
    run = run_of(name, configuration)
    log.begin(run, test_set=test_set, test_sha256="d", database="b")
    return log.end(run, test_set=test_set, predictions=predictions)


def test_evaluations_of_one_test_set_are_counted(tmp_path):
    log = EvaluationLog(tmp_path)
    assert evaluate(log, "a") == Count(number=1, evaluations=1, is_repeat=False)
    assert evaluate(log, "b", "another") == Count(number=2, evaluations=2, is_repeat=False)
    assert evaluate(log, "c", test_set="t") == Count(number=1, evaluations=1, is_repeat=False)
    assert evaluations_of(log.events()) == {"s": 2, "t": 1}


@pytest.mark.parametrize(
    ("configuration", "predictions", "expected"),
    [
        ("c", "p", Count(number=1, evaluations=2, is_repeat=True)),
        ("c", "fresh noise", Count(number=3, evaluations=3, is_repeat=False)),
        ("other seed", "p", Count(number=3, evaluations=3, is_repeat=False)),
    ],
)
def test_only_same_settings_and_predictions_repeat(tmp_path, configuration, predictions, expected):
    log = EvaluationLog(tmp_path)
    evaluate(log, "a")
    evaluate(log, "b", "another")
    assert evaluate(log, "again", configuration, predictions) == expected


def test_an_evaluation_counts_once_begun(tmp_path):
    log = EvaluationLog(tmp_path)
    log.begin(run_of("killed"), test_set="s", test_sha256="d", database="b")
    assert evaluate(log, "b") == Count(number=2, evaluations=2, is_repeat=False)


def test_a_resumed_evaluation_is_not_a_second_one(tmp_path):
    log = EvaluationLog(tmp_path)
    log.begin(run_of("a"), test_set="s", test_sha256="d", database="b")
    assert evaluate(log, "a") == Count(number=1, evaluations=1, is_repeat=False)
    assert evaluate(log, "a") == Count(number=1, evaluations=1, is_repeat=False)


def _write_many(folder, first):
    for number in range(first, first + 5):
        evaluate(EvaluationLog(folder), f"r{number}", f"c{number}")


def test_parallel_jobs_lose_no_line(tmp_path):
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=_write_many, args=(tmp_path, 5 * job)) for job in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    assert len(EvaluationLog(tmp_path).events()) == 40
    assert evaluate(EvaluationLog(tmp_path), "last", "c") == Count(
        number=21, evaluations=21, is_repeat=False
    )


def test_the_log_grows_and_a_torn_line_alone_is_cut(tmp_path):
    log = EvaluationLog(tmp_path)
    evaluate(log, "a")
    whole = log.file.read_bytes()
    log.file.write_bytes(whole + b'{"event": "beg')
    evaluate(log, "b", "another")
    assert log.file.read_bytes().startswith(whole)
    assert [json.loads(line)["id"] for line in log.file.read_text().splitlines()] == [*"aabb"]
    assert log.file.stat().st_mode & 0o077 == 0


def test_a_log_that_cannot_be_used_refuses_before_training(tmp_path):
    (tmp_path / NAME).write_text("not JSON\n")
    (tmp_path / "file").touch()
    for folder, why in ((tmp_path, "damaged in line 1"), (tmp_path / "file", "File exists")):
        with pytest.raises(ConfigError, match=rf"{NAME}: .*{why}.*evaluate_on=\[validation\]"):
            EvaluationLog(folder).check()
    assert (tmp_path / NAME).read_text() == "not JSON\n"


def test_sealed_test_beats_are_opened_for_one_run_of_a_study(tmp_path):
    log, asked = EvaluationLog(tmp_path), {"test_sha256": "d", "database": "b", "study": "one"}
    log.begin(run_of("a"), test_set="s", **asked)
    log.begin(run_of("a"), test_set="s", **asked)  # it was killed while it was scored
    for test_set in ("s", "of another division"):
        with pytest.raises(SealOpenedError, match=r"one were opened on .* for a \(/a\).*test=open"):
            log.begin(run_of("b"), test_set=test_set, **asked)
    log.begin(run_of("b"), test_set="s", **asked | {"study": "two"})
    log.begin(run_of("b"), test_set="s", **asked | {"database": "c"})
    assert len(log.events()) == 4
