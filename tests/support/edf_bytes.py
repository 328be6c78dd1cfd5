"""Write EDF, EDF+ and BDF files, from the specification (https://www.edfplus.info/specs)."""

import numpy as np


def field(value, width):
    """A header field: ASCII, padded with spaces."""
    content = value if isinstance(value, bytes) else str(value).encode("latin-1")
    assert len(content) <= width, value
    return content.ljust(width)


def tal(onset, *texts, duration=None):
    """A time-stamped annotations list."""
    length = b"" if duration is None else b"\x15" + str(duration).encode()
    return (
        b"%+.10g" % onset + length + b"".join(b"\x14" + each.encode() for each in texts) + b"\x14\0"
    )


def edf_file(
    signals,
    *,
    kind="",
    record_s=1,
    begins=None,
    annotations=(),
    version=b"0",
    patient="X X X X",
    recording="Startdate X X X X",
    date="01.01.85",
    num_records=None,
    annotation_bytes=120,
    label=b"EDF Annotations",
):
    """The bytes of a file.

    Args:
      signals: Dicts with `digital` (num_records * samples,) and `samples` (of a data record), and
        optionally `label`, `units`, `physical`, `limits`, `transducer`.
      kind: `EDF+C`, `EDF+D`, or empty for plain EDF.
      record_s: Duration of a data record.
      begins: Onset of each data record; None: without gaps.
      annotations: Pairs of onset and text, stored in the first data record.
      num_records: As stated in the header; None: the true number.
    """
    width = 3 if version != b"0" else 2
    count = len(signals[0]["digital"]) // signals[0]["samples"]
    rows = [dict(each) for each in signals]
    if kind[3:4] == "+":
        begins = [number * record_s for number in range(count)] if begins is None else begins
        rows.append(
            {
                "label": label,
                "samples": annotation_bytes // width,
                "limits": (-32768, 32767),
                "transducer": "",
            }
        )
    limits = [each.get("limits", (-32768, 32767)) for each in rows]
    physical = [each.get("physical", (-32.768, 32.767)) for each in rows]
    columns = [
        (16, [each.get("label", "ECG") for each in rows]),
        (80, [each.get("transducer", "AgCl") for each in rows]),
        (8, [each.get("units", "mV") for each in rows]),
        (8, [low for low, _ in physical]),
        (8, [high for _, high in physical]),
        (8, [low for low, _ in limits]),
        (8, [high for _, high in limits]),
        (80, ["" for _ in rows]),
        (8, [each["samples"] for each in rows]),
        (32, ["" for _ in rows]),
    ]
    head = [
        field(version, 8),
        field(patient, 80),
        field(recording, 80),
        field(date, 8),
        field("10.20.30", 8),
        field(256 * (len(rows) + 1), 8),
        field(kind, 44),
        field(count if num_records is None else num_records, 8),
        field(record_s, 8),
        field(len(rows), 4),
        *[field(value, size) for size, values in columns for value in values],
    ]
    body = []
    for number in range(count):
        for each in signals:
            begin = number * each["samples"]
            for value in np.asarray(each["digital"])[begin : begin + each["samples"]].tolist():
                body.append(value.to_bytes(width, "little", signed=True))
        if kind[3:4] == "+":
            lists = tal(begins[number], "")
            if number == 0:
                lists += b"".join(tal(onset, text) for onset, text in annotations)
            assert len(lists) <= annotation_bytes
            body.append(lists.ljust(annotation_bytes, b"\0"))
    return b"".join(head + body)
