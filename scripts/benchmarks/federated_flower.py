"""The rounds of `federated.py` in Flower's simulation; needs flwr[simulation] and torch.

Its clients run in processes of Ray.
"""

import functools
import logging
import os
from importlib.metadata import version
from typing import Any

from federated_pace import Pace, Problem
from federated_torch import network, tensors, train_client

os.environ |= {
    "FLWR_TELEMETRY_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}  # read when they are imported

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation


def run(problem: Problem, pace: Pace, cores: int) -> None:
    """Trains; Ray assigns `cores` cores to each client and runs as many clients as fit."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    client_app, server_app = ClientApp(), ServerApp()

    @client_app.train()
    def train(message: Message, context: Context) -> Message:
        return _train(problem, message, int(context.node_config["partition-id"]))

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = _PacedFedAvg(problem, pace)
        initial = ArrayRecord(network(problem.model).state_dict())
        strategy.start(grid=grid, initial_arrays=initial, num_rounds=problem.num_rounds)

    run_simulation(
        server_app,
        client_app,
        num_supernodes=problem.num_clients,
        backend_config={
            "client_resources": {"num_cpus": cores, "num_gpus": 0.0},
            "init_args": {
                "num_cpus": os.cpu_count(),
                "logging_level": logging.ERROR,
                "log_to_driver": False,
            },
        },
    )


class _PacedFedAvg(FedAvg):
    def __init__(self, problem: Problem, pace: Pace):
        super().__init__(fraction_evaluate=0.0, min_available_nodes=problem.num_clients)
        self._problem, self._pace = problem, pace

    def start(self, **arguments: Any) -> Any:
        self._pace.begin()
        return super().start(**arguments)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        replies = list(replies)
        failed = [reply.error.reason for reply in replies if reply.has_error()]
        if failed or len(replies) < self._problem.num_clients:
            raise RuntimeError(
                f"{len(replies)} of {self._problem.num_clients} clients answered; {failed[:1]}"
            )
        arrays, metrics = super().aggregate_train(server_round, replies)
        weights = [value.numpy() for value in arrays.to_torch_state_dict().values()]
        self._pace.finish_round(weights, software=f"flwr {version('flwr')}, ray {version('ray')}")
        return arrays, metrics


def _train(problem: Problem, message: Message, client: int) -> Message:
    model, (signals, labels) = _network(problem.model), _held(problem, client)
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    loss = train_client(model, signals, labels, problem.batch_size)
    content = RecordDict(
        {
            "arrays": ArrayRecord(model.state_dict()),
            "metrics": MetricRecord({"num-examples": len(labels), "loss": loss}),
        }
    )
    return Message(content=content, reply_to=message)


# Ray reuses its processes in later rounds, so these stay in memory.
_network = functools.cache(network)


@functools.cache
def _held(problem: Problem, client: int) -> Any:
    return tensors(problem, list(problem.clients.values())[client])
