"""Measure the cost of exact per-example clipping, compared with TF-Privacy and Opacus.

    uv run python scripts/benchmarks/clipping.py [--quick] [--models cnn1d cnn2d]

Time: steps of the model without privacy alternate with steps of each method in one process, so that
other load affects both; medians are compared. Ratios of PyTorch are relative to PyTorch's plain
step. Memory: peak resident size of a new process per method. TF-Privacy's Keras optimizer builds
its graph once per row, so it runs on `--slow-examples` rows, and its figures are not those of a
full batch. DPSequential runs without XLA, as all other methods do. Opacus is measured if it is
installed.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table

from ecgexp.cli.streams import command

_CLASSES = 6
_BATCH = {"cnn1d": 256, "cnn2d": 50}
_PER_ROW = ("DPKerasSGDOptimizer",)
_RATE = 0.0  # the weights stay: with a memorized batch, book-keeping would compute in float64
_METHODS = ("ghost", "vectorized", "microbatch", "DPSequential", *_PER_ROW)
_OPACUS = ("opacus hooks", "opacus ghost")


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=sorted(_BATCH), default=sorted(_BATCH))
    parser.add_argument(
        "--quick", action="store_true", help="few steps, and no Keras optimizer of TF-Privacy"
    )
    parser.add_argument(
        "--slow-examples", type=int, default=8, help="rows for TF-Privacy's Keras optimizers"
    )
    parser.add_argument(
        "--child", nargs=3, metavar=("MODEL", "METHOD", "STEPS"), help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="one thread, and the time of the process in place of elapsed time: for a machine that "
        "others use too",
    )
    options = parser.parse_args()
    if options.child:
        model, method, steps = options.child
        print(json.dumps(_measure(model, method, int(steps), options)))
        return
    for model in options.models:
        _print(model, _rows(model, options))


def _rows(model: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    methods = ["plain", *(m for m in _METHODS if not (options.quick and m in _PER_ROW))]
    if find_spec("torch") and find_spec("opacus"):
        methods += ["torch plain", *_OPACUS]
    steps = {"cnn1d": 10 if options.quick else 60, "cnn2d": 3 if options.quick else 15}[model]
    return [
        {"method": method, **_in_new_process(model, method, steps, options)} for method in methods
    ]


def _in_new_process(
    model: str, method: str, steps: int, options: argparse.Namespace
) -> dict[str, Any]:
    command = [
        sys.executable,
        __file__,
        "--slow-examples",
        str(options.slow_examples),
        *(["--processor-time"] if options.processor_time else []),
        "--child",
        model,
        method,
        str(steps),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:60]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _measure(model: str, method: str, steps: int, options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of `method` alone, then its time with steps of the plain model between."""
    if method.startswith(("torch", "opacus")):
        from clipping_torch import torch_steps  # beside this script

        plain, step, rows = torch_steps(model, method, _BATCH[model], _CLASSES)
    else:
        if options.processor_time:
            import tensorflow as tf

            tf.config.threading.set_intra_op_parallelism_threads(1)
        plain, step, rows = _tensorflow_steps(model, method, options.slow_examples)
    repeats = max(3, steps // 10) if method in (*_PER_ROW, "microbatch") else steps
    for _ in range(2):
        step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    plain()
    clock = time.process_time if options.processor_time else time.perf_counter
    seconds: dict[str, list[float]] = {"plain": [], "step": []}
    for _ in range(repeats):
        for name, run in (("plain", plain), ("step", step)):
            started = clock()
            run()
            seconds[name].append(clock() - started)
    per_row = statistics.median(seconds["step"]) / rows
    return {
        "examples_per_second": 1 / per_row,
        "ratio": statistics.median(seconds["plain"]) / _BATCH[model] / per_row,
        "peak_mb": peak,
    }


def _tensorflow_steps(
    name: str, method: str, slow: int
) -> tuple[Callable[[], None], Callable[[], None], int]:
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    model, shapes = _model(name)
    rows = _BATCH[name]
    features = {
        key: tf.constant(rng.normal(size=(rows, *shape)), tf.float32)
        for key, shape in shapes.items()
    }
    labels = tf.constant(rng.integers(0, _CLASSES, rows))
    plain = _plain_step(model, features, labels)
    if method == "plain":
        return plain, plain, rows
    if method in _PER_ROW:
        few = {key: value[:slow] for key, value in features.items()}
        return plain, _keras_optimizer_step(model, few, labels[:slow]), slow
    if method == "DPSequential":
        return plain, _dp_sequential_step(model, features, labels), rows
    return plain, _clipped_step(model, features, labels, method), rows


def _model(name: str) -> tuple[Any, dict[str, tuple[int, ...]]]:
    from ecgexp.models.cnn1d import Cnn1d
    from ecgexp.models.cnn2d import Cnn2d

    builder, shapes = {
        "cnn1d": (Cnn1d(), {"signal": (180, 1)}),
        "cnn2d": (Cnn2d(), {"image": (64, 64, 1)}),
    }[name]
    return builder.build(shapes, _CLASSES), shapes


def _loss(reduction: str) -> Any:
    import tensorflow as tf

    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)


def _plain_step(model: Any, features: Any, labels: Any) -> Callable[[], None]:
    import tensorflow as tf

    optimizer, loss_fn = tf.keras.optimizers.SGD(_RATE), _loss("sum_over_batch_size")
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(features, labels):
        with tf.GradientTape() as tape:
            loss = loss_fn(labels, model(features, training=True))
        optimizer.apply_gradients(
            zip(
                tape.gradient(loss, model.trainable_variables),
                model.trainable_variables,
                strict=True,
            )
        )
        return loss

    return lambda: step(features, labels).numpy()


def _clipped_step(model: Any, features: Any, labels: Any, method: str) -> Callable[[], None]:
    import tensorflow as tf

    from ecgexp.clipping.build import build_clipper

    optimizer = tf.keras.optimizers.SGD(_RATE)
    optimizer.build(model.trainable_variables)
    clipper, rows = (
        build_clipper(model, _loss("none"), l2_norm_clip=1.0, method=method),
        len(labels),
    )

    @tf.function
    def step(features, labels, mask):
        clipped = clipper(features, labels, mask)
        mean = [gradient / rows for gradient in clipped.gradients]
        optimizer.apply_gradients(zip(mean, model.trainable_variables, strict=True))
        return clipped.losses

    return lambda: step(features, labels, tf.ones(rows)).numpy()


def _dp_sequential_step(model: Any, features: Any, labels: Any) -> Callable[[], None]:
    import tensorflow as tf
    import tensorflow_privacy as tfp

    # Keras' own generators: vectorized_map cannot read ours, which a checkpoint can restore
    layers = [
        tf.keras.layers.Dropout(x.rate) if type(x).__name__ == "Dropout" else x
        for x in model.layers
    ]
    private = tfp.DPSequential(l2_norm_clip=1.0, noise_multiplier=0.0, use_xla=False, layers=layers)
    private.compile(tf.keras.optimizers.SGD(_RATE), loss=_loss("none"))
    step = tf.function(private.train_step)
    (inputs,) = features.values()
    return lambda: tf.nest.map_structure(lambda value: value.numpy(), step((inputs, labels)))


def _keras_optimizer_step(model: Any, features: Any, labels: Any) -> Callable[[], None]:
    import tensorflow as tf
    import tensorflow_privacy as tfp

    optimizer = tfp.DPKerasSGDOptimizer(
        l2_norm_clip=1.0, noise_multiplier=0.0, num_microbatches=len(labels), learning_rate=0.01
    )
    loss_fn = _loss("none")

    @tf.function
    def step(features, labels):
        with tf.GradientTape(persistent=True) as tape:
            losses = loss_fn(labels, model(features, training=True))
        optimizer.minimize(losses, model.trainable_variables, tape=tape)
        return losses

    return lambda: step(features, labels).numpy()


def _print(model: str, rows: list[dict[str, Any]]) -> None:
    table = Table(
        "method",
        "examples/s",
        "of plain",
        "peak MB",
        "of plain",
        title=f"{model}, batch {_BATCH[model]}",
    )
    base = rows[0].get("peak_mb")
    for row in rows:
        if "error" in row:
            table.add_row(row["method"], row["error"], "", "", "")
            continue
        memory = f"{row['peak_mb'] / base:.2f}" if base else ""
        table.add_row(
            row["method"],
            f"{row['examples_per_second']:,.0f}",
            f"{row['ratio']:.3f}",
            f"{row['peak_mb']:,.0f}",
            memory,
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
