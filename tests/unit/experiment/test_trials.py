"""What debug runs say: the verdict of `debug=overfit`, the table of `debug=profile`."""

from types import SimpleNamespace

import pytest

from ecgexp.experiment.trials import Verdict
from ecgexp.tracking.local.headline import headline, last_line
from ecgexp.tracking.local.result import Result
from ecgexp.training.step_profile import StepProfile, costs_of, trace_of


def _verdict(accuracy):
    return Verdict(
        accuracy=accuracy,
        beats=32,
        most_frequent=0.5,
        step=9,
        step_name="epoch",
        rate_setting="learning_rate",
    )


@pytest.mark.parametrize(
    ("accuracy", "fits", "said"),
    [(1.0, True, ("yes", "1.000")), (31 / 32, False, ("no", "0.969", "trainer.learning_rate"))],
)
def test_verdict_says_whether_all_beats_are_fitted(accuracy, fits, said):
    verdict = _verdict(accuracy)
    assert verdict.fits is verdict.as_dict()["fits"] is fits
    assert all(word in verdict.line() for word in said)


def test_last_line_of_a_debug_run_says_what_scores_mean():
    result = Result(
        status="FINISHED", metrics={"validation/accuracy": 1.0}, marks={"debug": "smoke"}
    )
    assert last_line(result).endswith("debug=smoke: scores mean nothing")
    assert headline(result, None)["debug"] == "smoke"
    assert headline(Result(status="FINISHED"), None)["debug"] is None


def _plane(name, *events):
    metadata = dict(enumerate(SimpleNamespace(name=label) for label, _ in events))
    line = SimpleNamespace(
        id=1,
        name="python",
        display_name="",
        timestamp_ns=0,
        events=[
            SimpleNamespace(metadata_id=number, offset_ps=0, duration_ps=int(seconds * 1e12))
            for number, (_, seconds) in enumerate(events)
        ],
    )
    return SimpleNamespace(name=name, lines=[line], event_metadata=metadata)


HOST = _plane(
    "/host:CPU",
    ("while/body/_1/while/cnn1d/conv0/Conv1D:Conv2D", 3.0),
    ("while/body/_1/gradient_tape/while/cnn1d/act0/ReluGrad:ReluGrad", 1.0),
    ("ExecutorState::Process", 9.0),
    ("EagerLocalExecute: __inference_run_1", 9.0),
    ("cond/then/While:While", 9.0),
)


def test_costs_are_of_operations_and_not_of_what_runs_them():
    costs = costs_of([HOST])
    assert [(cost.where, cost.kind, cost.seconds, cost.share) for cost in costs] == [
        ("cnn1d/conv0/Conv1D", "Conv2D", 3.0, 0.75),
        ("gradient of cnn1d/act0", "ReluGrad", 1.0, 0.25),
    ]


def test_costs_on_a_gpu_are_those_of_its_kernels():
    (cost,) = costs_of([HOST, _plane("/device:GPU:0", ("sgemm_128x64", 2.0))])
    assert (cost.where, cost.kind, cost.seconds) == ("sgemm_128x64", "kernel", 2.0)


def test_trace_has_every_event_with_its_time():
    events = [event for event in trace_of([HOST])["traceEvents"] if event["ph"] == "X"]
    assert [event["dur"] for event in events] == [3e6, 1e6, 9e6, 9e6, 9e6]


def test_profile_passes_on_all_results_of_a_training():
    assert list(StepProfile(step=9).watch(iter([1, 2, 3]))) == [1, 2, 3]
