import json
import math
from types import SimpleNamespace

import pytest
from gaussian_pair import gaussian_pair

from ecgexp.data.beats import RR_FEATURES
from ecgexp.experiment.trained_model import privacy_statement
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.outputs import TOPICS
from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.privacy.statement import state
from ecgexp.privacy.unit_checks import check_unit_covers_features
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.federated.trainer import Federated


def finished(units=52_367, batch=100, iterations=10_480, **spec):
    spec = {"noise_multiplier": 1.4} | spec
    made = PrivacySpec(**spec).plan(
        num_units=units, expected_batch_size=batch, iterations=iterations
    )
    ledger = Ledger(made)
    ledger.record(made.dp_event if made.sampling == "shuffle" else made.step_event, iterations)
    return ledger


@pytest.fixture(scope="module")
def replicated():
    with pytest.warns(UserWarning, match=r"privacy.delta=4e-06"):
        return finished(delta=4e-6)


def test_guarantee_is_stated_with_unit_and_relation(replicated):
    idle = ("class weights", "client scores", "classes", "size", "time and memory")
    line = state(replicated, search=(9, 2.54), does_not_apply=idle).line()
    assert line == (
        "ε = 0.62 (δ 4e-06) · unit: beat · neighboring relation: add or remove one · "
        "sampler: Poisson q 0.00191, 10\N{NO-BREAK SPACE}480 steps · "
        "accountant: PLD (RDP 0.69) · not covered: hyperparameter search "
        "(ε of all 9 runs together: 2.54), "
        "validation and test data, selection, "
        "split"
    )


def test_statement_names_unit_sampling_delta_and_exclusions(replicated):
    text = state(replicated).text()
    for words in (
        "one beat added or removed",
        "with all its augmented views",
        "4e-06)-differentially private",
        "with probability q =",
        "n·δ = 0.21",
        "10\N{NO-BREAK SPACE}480 steps",
        "operating system's entropy",
        "(PLD)",
        "(RDP)",
        "1.134 (PLD, replace one)",
        *(words for topic, words in TOPICS.items() if topic != "published training data"),
    ):
        assert words in text


def test_what_a_run_did_not_do_can_be_left_out_and_a_typo_cannot(replicated):
    assert "class weights" not in state(replicated, does_not_apply=("class weights",)).text()
    with pytest.raises(ValueError, match="class weight"):
        state(replicated, does_not_apply=("class weight",))


def test_publishing_all_is_the_first_thing_said(replicated):
    default, everything = state(replicated), state(replicated, publishes_all=True)
    assert everything.line().partition("not covered: ")[2].startswith("published training data, ")
    assert everything.as_dict()["publish"] == "all"
    assert "privacy.publish=all" in everything.as_dict()["not_covered"][0]
    assert "private/" not in everything.text()
    assert default.as_dict()["publish"] == "covered"
    assert "private/" in default.text()
    assert "privacy.publish=all" not in default.text()


def test_holdout_size_and_split_are_named_by_default(replicated):
    text = state(replicated).text()
    for words in (
        "validation and test data",
        "assumed to be public",
        "depends on all units in the data",
    ):
        assert words in text


def test_statement_has_both_accountants_and_replace_one(replicated):
    values = json.loads(json.dumps(state(replicated).as_dict(), allow_nan=False))
    assert values["guarantee"] is True
    assert values["epsilon"] == values["epsilon_pld"] == pytest.approx(0.6144, rel=1e-3)
    assert values["epsilon_rdp"] == pytest.approx(0.6808, rel=1e-3)
    assert values["epsilon_replace_one"] == pytest.approx(1.1333, rel=1e-3)
    assert (values["delta"], values["unit"], values["steps"]) == (4e-6, "beat", 10_480)


def test_statement_names_trust_model_and_assumptions(replicated):
    text = state(replicated).text()
    for words in ("central DP", "the server, is trusted", "exact arithmetic", "not cryptographic"):
        assert words in text


def test_adaptive_clip_is_described_with_both_releases():
    ledger = of_patients()
    trainer = Federated(
        clipping="adaptive", clipping_quantile=0.7, clipped_count_stddev=0.8, num_rounds=20
    )
    clip = trainer.adaptive_clip(ledger.plan)
    adaptive, fixed = state(ledger, adaptive_clip=clip), state(ledger)
    both = gaussian_pair(clip.update_noise_multiplier, 2 * clip.count_stddev)
    assert both.noise_multiplier == pytest.approx(ledger.plan.noise_multiplier)
    assert clip.update_noise_multiplier > ledger.plan.noise_multiplier
    for words in (
        "it began at 1 and followed the 0.7-quantile",
        f"standard deviation {clip.update_noise_multiplier:.6g} times the clip of that step",
        "the number of contributions within the clip",
        "standard deviation 0.8.",
        "one Gaussian mechanism with noise multiplier 1,",
    ):
        assert words in adaptive.text()
        assert words not in fixed.text()
    assert "clipped to norm 1" in fixed.text()
    assert "clipped to norm 1" not in adaptive.text()
    assert (adaptive.line(), adaptive.as_dict()) == (fixed.line(), fixed.as_dict())


def test_adaptive_clip_of_a_run_reaches_its_statement(monkeypatch):
    monkeypatch.setattr("ecgexp.experiment.trained_model.assumptions", lambda _: ())

    def statement_of(**settings):
        experiment = SimpleNamespace(
            states_privacy_loss=True,
            trainer=Federated(clipped_count_stddev=0.8, **settings),
            privacy=SimpleNamespace(publish="covered"),
            loss=SimpleNamespace(class_weights="none"),
            grouping=SimpleNamespace(empty_class="error"),
            partition=SimpleNamespace(is_pooled=False),
            selection=SimpleNamespace(needs_validation=lambda is_private: False),
            is_private=True,
        )
        return privacy_statement(experiment, of_patients())

    assert "The clip was adaptive" in statement_of(clipping="adaptive").text()
    assert "adaptive" not in statement_of().text()


def test_missing_epsilon_is_null_and_not_estimated():
    fixed = state(
        finished(
            units=47, batch=10, iterations=20, sampling="fixed", accountant="rdp", unit="patient"
        )
    )
    cut = state(finished(units=5000, iterations=50, batch_capacity=120))
    assert fixed.epsilon_pld is None
    assert fixed.epsilon_rdp == fixed.epsilon
    assert "replace one" in fixed.line()
    assert "With so few units ε is either too large" in fixed.text()
    assert "not comparable with one for adding or removing a unit" in fixed.text()
    assert cut.epsilon_rdp is None
    assert "truncated at random" in cut.text()


@pytest.mark.parametrize("spec", [{}, {"noise_seed": 0}])
def test_infinite_epsilon_of_cut_batches_is_no_guarantee(spec):
    found = state(
        finished(
            units=400, batch=64, iterations=7, batch_capacity=64, noise_multiplier=1e-4, **spec
        )
    )
    assert found.epsilon_pld == math.inf  # and RDP has no bound for batches that are cut
    assert found.epsilon_rdp is None
    assert not found.has_privacy_guarantee
    assert found.epsilon == math.inf
    values = found.as_dict()
    json.dumps(values, allow_nan=False)
    assert values["guarantee"] is False
    assert {
        name: value
        for name, value in values.items()
        if name.startswith("epsilon") and value is not None
    } == {}
    assert "ε =" not in found.text()
    assert "differentially private" not in found.text()


def of_patients(**spec):
    return finished(
        units=47, batch=10, iterations=20, unit="patient", **({"noise_multiplier": 1.0} | spec)
    )


def test_hypothetical_epsilon_is_named_and_changes_nothing():
    alone, beside = state(of_patients()), state(of_patients(hypothetical_population=10_000))
    values = json.loads(json.dumps(beside.as_dict(), allow_nan=False))
    hypothetical_population = values.pop("hypothetical_population")
    assert alone.as_dict() == values | {"hypothetical_population": None}
    assert (beside.line(), beside.epsilon) == (alone.line(), alone.epsilon)
    assert beside.text().startswith(alone.text().rstrip())
    paragraph = beside.text().removeprefix(alone.text().rstrip()).strip()
    assert paragraph.startswith(
        "Hypothetical population, not a guarantee of this run: in a population of "
        "10\N{NO-BREAK SPACE}000 patients of whom 2\N{NO-BREAK SPACE}128"
    )
    assert "ε =" not in paragraph
    assert "HypotheticalPopulation" not in alone.text()
    assert (
        hypothetical_population["label"] == "hypothetical population, not a guarantee of this run"
    )
    assert not {"epsilon", "guarantee"} & {
        *hypothetical_population,
        *hypothetical_population["same_noise"],
        *hypothetical_population["same_noise_on_mean"],
    }


def test_hypothetical_epsilon_is_of_the_steps_that_ran():
    made = PrivacySpec(noise_multiplier=1.0, unit="patient", hypothetical_population=1000).plan(
        num_units=47, expected_batch_size=10, iterations=20
    )
    ledger = Ledger(made)
    assert state(ledger).hypothetical_population is None
    ledger.record(made.step_event, 5)
    assert state(ledger).hypothetical_population.same_noise.plan.iterations == 5
    assert (
        state(ledger).hypothetical_population.same_noise.epsilon
        < state(
            of_patients(hypothetical_population=1000)
        ).hypothetical_population.same_noise.epsilon
    )


def test_a_simulation_may_project_and_a_run_without_noise_cannot():
    simulated = state(of_patients(noise_seed=1, hypothetical_population=1000))
    silent = state(of_patients(noise_multiplier=0.0, hypothetical_population=1000))
    assert "not a guarantee of this run" in simulated.text()
    assert simulated.text().startswith("This run has no privacy guarantee")
    assert simulated.as_dict()["guarantee"] is False
    assert silent.hypothetical_population is silent.as_dict()["hypothetical_population"] is None


@pytest.mark.parametrize("spec", [{"noise_seed": 0}, {"noise_multiplier": 0.0}])
def test_simulation_and_run_without_noise_have_no_guarantee(spec):
    statement = state(finished(units=1000, iterations=20, **spec))
    values = json.loads(json.dumps(statement.as_dict(), allow_nan=False))
    assert "has no privacy guarantee" in statement.line()
    assert "ε =" not in statement.text()
    assert values["guarantee"] is False
    assert (
        values["epsilon"]
        is values["epsilon_pld"]
        is values["epsilon_rdp"]
        is values["epsilon_replace_one"]
        is None
    )
    assert statement.epsilon == float("inf")
    assert values["simulation"] is ("noise_seed" in spec)


def test_no_privacy_is_stated_by_the_same_code():
    ledger = Ledger(NotPrivate().plan(num_units=100, expected_batch_size=10, epochs=1))
    ledger.record(ledger.plan.step_event, 10)
    assert json.dumps(state(ledger).as_dict(), allow_nan=False)
    assert "no noise was added" in state(ledger).text()


def test_shuffled_batches_have_no_amplification():
    made = PrivacySpec(noise_multiplier=1.4, sampling="shuffle").plan(
        num_units=100, expected_batch_size=10, epochs=2
    )
    ledger = Ledger(made)
    for step in range(20):
        ledger.record(made.event_at(step))
    assert "no amplification" in state(ledger).line()
    assert "balls-and-bins" in state(ledger).text()
    assert state(ledger).steps == 20


def test_beat_level_guarantee_with_crossing_features_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"privacy.unit=beat cannot cover rr_previous_s.*use privacy.unit=patient",
    ):
        check_unit_covers_features("beat", RR_FEATURES)
    check_unit_covers_features("patient", RR_FEATURES)
    check_unit_covers_features("beat", ())
