"""The profile of one epoch or round: where the time of its TensorFlow operations goes."""

import gzip
import itertools
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ecgexp.training.base import EpochResult

# Operations that only run others, whose time would count twice.
_CONTAINERS = frozenset(
    {"If", "PartitionedCall", "StatefulPartitionedCall", "StatelessIf", "StatelessWhile", "While"}
)
_DEVICE = "/device:"
_LOOPS = re.compile(r".*PartitionedCall/|(?:^|(?<=/))(?:while|body)/(?:_\d+/)?")
"""Beginnings of a place that say in which function or loop an operation runs."""
_OTHER = re.compile(r"[:\s]")
"""In events that are not operations: `ExecutorState::Process`, `EagerExecute: __inference_run`."""
_MICROSECONDS = 1e-6
_PICOSECONDS = 1e-12


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The time of one operation, over the whole profile.

    Attributes:
      where: the layer and the operation, e.g. `conv2/Conv1D`.
      kind: the type of the operation; of a kernel on a GPU, `kernel`.
      calls: how often it ran.
      seconds: time of all calls.
      share: part of the time of all operations.
    """

    where: str
    kind: str
    calls: int
    seconds: float
    share: float


class StepProfile:
    """Profiles one epoch or round of a training.

    Args:
      step: the profiled one, counted from 1 within this process; the first one compiles.

    Attributes:
      step: see above.
      costs: the operations, the longest first; empty before that step.
      trace: trace of all events, in the JSON format of Chrome and Perfetto.
    """

    def __init__(self, *, step: int):
        self.step = step
        self.costs: Sequence[Cost] = ()
        self.trace: dict[str, Any] = {}

    def watch(self, results: Iterator[EpochResult]) -> Iterator[EpochResult]:
        """Yield `results`, and profile the computation of one of them.

        Args:
          results: of a trainer.

        Yields:
          The same results.
        """
        for step in itertools.count(1):
            if step == self.step:
                with self._recording():
                    result = next(results, None)
            else:
                result = next(results, None)
            if result is None:
                return
            yield result

    def write(self, path: Path) -> Path:
        """Write the trace, compressed, and return its path."""
        with gzip.open(path, "wt", encoding="utf-8") as file:
            json.dump(self.trace, file)
        return path

    @contextmanager
    def _recording(self) -> Iterator[None]:
        import tensorflow as tf

        with tempfile.TemporaryDirectory() as folder:
            tf.profiler.experimental.start(folder)
            try:
                yield
            finally:
                tf.profiler.experimental.stop()
            planes = [
                plane
                for path in sorted(Path(folder).rglob("*.xplane.pb"))
                for plane in _read(path).planes
            ]
        self.costs, self.trace = costs_of(planes), trace_of(planes)


def costs_of(planes: Sequence[Any]) -> list[Cost]:
    """Return the time of each operation, the longest first.

    On a GPU the kernels count, and not the operations of the host that start them.

    Args:
      planes: of TensorFlow's `XSpace`.
    """
    on_device = [plane for plane in planes if plane.name.startswith(_DEVICE) and plane.lines]
    seconds: Counter[tuple[str, str]] = Counter()
    calls: Counter[tuple[str, str]] = Counter()
    for plane in on_device or planes:
        for line in plane.lines:
            for event in line.events:
                key = _operation(plane.event_metadata[event.metadata_id].name, bool(on_device))
                if key is not None:
                    seconds[key] += event.duration_ps * _PICOSECONDS
                    calls[key] += 1
    total = sum(seconds.values()) or 1.0
    return [
        Cost(where=where, kind=kind, calls=calls[where, kind], seconds=time, share=time / total)
        for (where, kind), time in seconds.most_common()
    ]


def trace_of(planes: Sequence[Any]) -> dict[str, Any]:
    """Return all events in the JSON format that Chrome and Perfetto show.

    Args:
      planes: of TensorFlow's `XSpace`.
    """
    events: list[dict[str, Any]] = []
    for number, plane in enumerate(planes, 1):
        events.append(_named("process_name", plane.name, number))
        for line in plane.lines:
            events.append(_named("thread_name", line.display_name or line.name, number, line.id))
            events.extend(
                {
                    "ph": "X",
                    "pid": number,
                    "tid": line.id,
                    "name": plane.event_metadata[event.metadata_id].name,
                    "ts": (line.timestamp_ns * 1e-9 + event.offset_ps * _PICOSECONDS)
                    / _MICROSECONDS,
                    "dur": event.duration_ps * _PICOSECONDS / _MICROSECONDS,
                }
                for event in line.events
            )
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _named(what: str, name: str, process: int, thread: int = 0) -> dict[str, Any]:
    return {"ph": "M", "pid": process, "tid": thread, "name": what, "args": {"name": name}}


def _operation(name: str, on_device: bool) -> tuple[str, str] | None:
    """Return place and type of an operation's event; None for any other event.

    TensorFlow names the event of an operation `place:type`.
    """
    if on_device:
        return name, "kernel"
    where, colon, kind = name.rpartition(":")
    is_operation = kind.isidentifier() and kind not in _CONTAINERS and _OTHER.search(where) is None
    if not (colon and is_operation):
        return None
    kind = kind.removeprefix("_MklNative")
    place = _LOOPS.sub("", where).removesuffix(f"/{kind}")
    gradient, found, layer = place.rpartition("gradient_tape/")
    return (f"gradient of {gradient}{layer}" if found else place), kind


def _read(path: Path) -> Any:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = cast(Any, xplane_pb2).XSpace()  # generated, without types
    space.ParseFromString(path.read_bytes())
    return space
