"""Read the file of an ended offline run of Weights & Biases."""

import json
import time
from typing import Any

_PATIENCE_S = 60.0


def read_wandb(file: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of steps, with the times that the library adds, and the summary.

    Another process writes the file, so this waits for the record that ends it.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        rows, summary, has_ended = _read(file)
        if has_ended:
            return rows, summary
        assert time.monotonic() < deadline, f"{file} has no end"
        time.sleep(0.01)


def _read(file: str) -> tuple[list[dict[str, Any]], dict[str, Any], bool]:
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    store, rows, summary, has_ended = DataStore(), [], {}, False
    store.open_for_scan(file)
    while (data := store.scan_data()) is not None:
        record = Record.FromString(data)
        has_ended |= record.HasField("exit")
        if record.HasField("history"):
            rows.append(_values(record.history.item))
        if record.HasField("summary"):
            summary |= _values(record.summary.update)
    return rows, summary, has_ended


def _values(items: Any) -> dict[str, Any]:
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}
