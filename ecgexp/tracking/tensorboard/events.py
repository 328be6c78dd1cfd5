"""Write and read TensorBoard's event files, with its own formats and without TensorFlow."""

import itertools
import os
import platform
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import (
    event_pb2,
    summary_pb2,
    tensor_pb2,
    tensor_shape_pb2,
    types_pb2,
)
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.summary.writer.record_writer import RecordWriter

PREFIX = "events.out.tfevents."
_COUNTER = itertools.count()

# Generated modules, which make their classes when they are imported.
_event: Any = event_pb2
_summary: Any = summary_pb2
_tensor: Any = tensor_pb2
_shape: Any = tensor_shape_pb2
_types: Any = types_pb2
_PNG_SIZE = struct.Struct(">II")
_PNG_SIZE_AT = 16


class EventFile:
    """One event file of a run, which a session appends to.

    Args:
      folder: of the event files of the run; created if it is missing.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{PREFIX}{time.time_ns()}.{platform.node()}.{os.getpid()}.{next(_COUNTER)}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self._write(_event.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def scalars(self, values: dict[str, float], *, step: int, at: float) -> None:
        """Add one point of each metric."""
        found = [
            _summary.Summary.Value(tag=name, simple_value=value) for name, value in values.items()
        ]
        self._write(_event.Event(wall_time=at, step=step, summary=_summary.Summary(value=found)))

    def text(self, name: str, markdown: str, *, at: float) -> None:
        """Add a text, which TensorBoard shows as Markdown."""
        tensor = _tensor.TensorProto(
            dtype=_types.DT_STRING,
            string_val=[markdown.encode()],
            tensor_shape=_shape.TensorShapeProto(dim=[_shape.TensorShapeProto.Dim(size=1)]),
        )
        plugin = _summary.SummaryMetadata.PluginData(plugin_name="text")
        metadata = _summary.SummaryMetadata(plugin_data=plugin)
        self._add(_summary.Summary.Value(tag=name, metadata=metadata, tensor=tensor), at)

    def image(self, name: str, png: bytes, *, at: float) -> None:
        """Add an image in the format PNG."""
        width, height = _PNG_SIZE.unpack_from(png, _PNG_SIZE_AT)
        image = _summary.Summary.Image(
            width=width, height=height, colorspace=4, encoded_image_string=png
        )
        self._add(_summary.Summary.Value(tag=name, image=image), at)

    def purge(self, *, after: int, at: float) -> None:
        """Make TensorBoard leave out the points of the steps after `after` written so far."""
        start = _event.SessionLog(status=_event.SessionLog.START)
        self._write(_event.Event(wall_time=at, step=after + 1, session_log=start))

    def close(self) -> None:
        """Close the file; a second call changes nothing."""
        self._file.close()

    def _add(self, value: Any, at: float) -> None:
        self._write(_event.Event(wall_time=at, summary=_summary.Summary(value=[value])))

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()


def read_events(folder: Path) -> Iterator[Any]:
    """Yield the events of a run, in the order in which they were written.

    An incomplete last record, which a killed process leaves, is left out.

    Args:
      folder: of the event files.
    """
    for path in sorted(folder.glob(f"{PREFIX}*")):
        reader = PyRecordReader_New(str(path))
        while True:
            try:
                reader.GetNext()
            except Exception:  # noqa: BLE001 - the end, and an incomplete record
                break
            yield _event.Event.FromString(reader.record())


def read_points(folder: Path) -> dict[str, dict[int, float]]:
    """Return metric -> step -> value of the event files; purged points are left out.

    Args:
      folder: of the event files.
    """
    found: dict[str, dict[int, float]] = {}
    for event in read_events(folder):
        if event.HasField("session_log") and event.session_log.status == _event.SessionLog.START:
            for name, points in found.items():
                # Values of the whole run stand at step 0.
                found[name] = {step: value for step, value in points.items() if step < event.step}
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found
