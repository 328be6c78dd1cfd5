"""The reports of a run with clients: feasibility before training, scores per client after."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.evaluation.clients import ClientScores, score_clients
from ecgexp.evaluation.missing import client_notes
from ecgexp.experiment.data import RunData
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.installation import to_type
from ecgexp.tracking.base import Tracker

if TYPE_CHECKING:
    from ecgexp.evaluation.comparison import BaselineComparison
    from ecgexp.privacy.feasibility import OnProgress


def feasibility_tables(plan: PrivacyPlan, num_parameters: int, on_progress: "OnProgress") -> Any:
    """Return what the plan achieves, for the console, before training; takes less than 5 s.

    This is the part of `ecgexp-plan` about the plan itself and `privacy.hypothetical_population`.
    For rounds of constant size, the noise needed for another ε takes the accountant about 10 s, so
    only the privacy loss of the plan is given.

    Args:
      plan: of the run.
      num_parameters: of the model.
      on_progress: called with the progress.

    Returns:
      A table, or one line for rounds of constant size.
    """
    from ecgexp.formatting import epsilon_text
    from ecgexp.privacy.feasibility import feasibility_of
    from ecgexp.privacy.feasibility_tables import render
    from ecgexp.privacy.hypothetical import plan_epsilon

    if plan.sampling == "fixed":
        return (
            f"{plan.iterations} rounds at noise multiplier {plan.noise_multiplier:.4g} have a "
            f"privacy loss of ε = {epsilon_text(plan_epsilon(plan).epsilon)} for each {plan.unit} "
            f"of {plan.num_units} (δ {plan.delta:g}, {plan.accountant.upper()}); "
            f"`{to_type('ecgexp-plan')}` with the same settings lists what is feasible"
        )
    populations = [] if plan.hypothetical_population is None else [plan.hypothetical_population]
    return render(
        feasibility_of(
            plan,
            [plan],
            num_parameters=num_parameters,
            populations=populations,
            on_progress=on_progress,
        )
    )


def client_scores(run_data: RunData, split: str, probabilities: np.ndarray) -> ClientScores:
    """Return the scores of the clients of one split.

    Args:
      run_data: the data of the run.
      split: `validation` or `test`.
      probabilities: (num_beats, classes) of the split's beats.
    """
    rows, data = run_data.indices[split], run_data.data
    return score_clients(
        run_data.partition.parts[split],
        rows,
        data.labels[rows],
        probabilities.argmax(axis=1),
        data.class_names,
        run_data.baseline_class(rows),
    )


def notes(run_data: RunData, split: str, probabilities: np.ndarray) -> list[str]:
    """Return the notes on the scores per client; empty without clients.

    Args:
      run_data: the data of the run.
      split: `validation` or `test`.
      probabilities: (num_beats, classes) of the split's beats.
    """
    return (
        []
        if run_data.partition.is_pooled
        else client_notes(client_scores(run_data, split, probabilities))
    )


def client_metrics(run_data: RunData, split: str, probabilities: np.ndarray) -> dict[str, float]:
    """Return the metrics `<split>/clients/...`; empty without clients.

    Args:
      run_data: the data of the run.
      split: `validation` or `test`.
      probabilities: (num_beats, classes) of the split's beats.
    """
    if run_data.partition.is_pooled:
        return {}
    spread = client_scores(run_data, split, probabilities).spread()
    return {f"{split}/clients/{name}": value for name, value in spread.items()}


def log_clients(
    tracker: Tracker,
    run_data: RunData,
    split: str,
    probabilities: np.ndarray,
    *,
    figure_format: str = "png",
) -> None:
    """Log a table and a figure of the scores per client; nothing without clients.

    Args:
      tracker: of the run.
      run_data: the data of the run.
      split: `validation` or `test`.
      probabilities: (num_beats, classes) of the split's beats.
      figure_format: `png`, `svg` or `pdf`.
    """
    if run_data.partition.is_pooled:
        return
    import pandas as pd

    from ecgexp.evaluation.client_figure import per_client_figure

    beats, scores = run_data.beats, client_scores(run_data, split, probabilities)
    rows = scores.rows(None if run_data.withholds_training else run_data.partition.train)
    majority = beats.class_names[run_data.baseline_class(run_data.indices[split])]
    figure = per_client_figure(rows, majority_class=majority, source=f"{beats.database}, {split}")
    tracker.log_table(pd.DataFrame(rows), f"tables/{split}_per_client.csv")
    tracker.log_figure(figure, f"figures/{split}_per_client.{figure_format}")


def log_federated_baselines(
    tracker: Tracker,
    run_data: RunData,
    comparison: "BaselineComparison",
    *,
    figure_format: str = "png",
) -> None:
    """Log a table and a figure that compare the federated model with its baselines.

    Args:
      tracker: of the run.
      run_data: the data of the run.
      comparison: the scores of the models.
      figure_format: `png`, `svg` or `pdf`.
    """
    import pandas as pd

    from ecgexp.evaluation.client_figure import comparison_figure

    rows = comparison.rows()
    tracker.log_table(pd.DataFrame(rows), "tables/comparison_per_client.csv")
    overall = {model: scores["accuracy"] for model, scores in comparison.overall.items()}
    figure = comparison_figure(rows, overall, source=f"{run_data.beats.database}, test")
    tracker.log_figure(figure, f"figures/comparison_per_client.{figure_format}")
