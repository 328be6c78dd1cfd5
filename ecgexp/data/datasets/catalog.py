"""Catalog of databases: records, leads, publication, and the patient of each record."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType

from ecgexp.settings.declaration import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Database:
    """A published or generated ECG database.

    Attributes:
      name: PhysioNet's short name, e.g. `"mitdb"`; also the folder below the data root.
      version: Published version; the files of another version are another database.
      title: Full name.
      fs_hz: Sampling frequency of every record.
      records: Record names, in published order.
      lead_names: Every lead that at least one record has.
      num_samples: Samples per lead of every record; None if records differ in length.
      adc_gain: Units per millivolt for files that do not state it: headers with gain 0 and the CSV
        layout. None: such files are refused.
      adc_zero: Units at zero volt in the CSV layout.
      slug: Folder below `https://physionet.org/files/`; empty if it is not published there.
      doi: Digital object identifier.
      license: License of the data.
      same_patient: Record -> patient, for records that share a patient; every other record has a
        patient of its own.
      patient_in_header: Pattern whose first group is the patient's number in a header comment, for
        databases whose headers state it.
      remedy: What to do if a file is missing or damaged; empty: run the command that fetches the
        database.

    Example:
      >>> MITDB.patient_of("202")
      '201+202'
      >>> len(MITDB.records), MITDB.fs_hz
      (48, 360.0)
    """

    name: str
    version: str
    title: str
    fs_hz: float
    records: tuple[str, ...]
    lead_names: tuple[str, ...]
    num_samples: int | None = None
    adc_gain: float | None = None
    adc_zero: int = 0
    slug: str = ""
    doi: str = ""
    license: str = ""
    same_patient: Mapping[str, str] = field(default_factory=dict)
    patient_in_header: str | None = None
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def fix(self) -> str:
        """What to do if a file is missing or damaged, as the end of a message."""
        return self.remedy or f"run `ecgexp-fetch {self.name}`"

    def patient_of(self, record_id: str, comments: Sequence[str] = ()) -> str:
        """Return the patient of a record.

        Args:
          record_id: The record.
          comments: Comment lines of its header, used if the database names its patients there.

        Returns:
          The patient's id.

        Raises:
          DataError: The header does not name the patient, although the database's headers do.
        """
        if self.patient_in_header is None:
            return self.same_patient.get(record_id, record_id)
        for comment in comments:
            if found := re.search(self.patient_in_header, comment):
                return f"patient {found.group(1)}"
        raise DataError(
            f"{record_id}.hea does not name its patient, which splits by patient need; {self.fix}"
        )

    def published_sha256(self) -> Mapping[str, str]:
        """Return file name -> SHA-256 as published by PhysioNet; empty if no list is packaged."""
        return _published_sha256(f"{self.name}-{self.version}.sha256")


@cache
def _published_sha256(list_name: str) -> Mapping[str, str]:
    listed = resources.files("ecgexp.data").joinpath("checksums", list_name)
    if not listed.is_file():
        return MappingProxyType({})
    return MappingProxyType(parse_sha256sums(listed.read_text("utf-8")))


def parse_sha256sums(text: str) -> dict[str, str]:
    """Parse a `SHA256SUMS` file.

    Args:
      text: Its lines: a digest, white space, a file name.

    Returns:
      File name -> SHA-256.
    """
    return {
        name: digest
        for digest, name in (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Division of de Chazal, O'Dwyer & Reilly 2004, without the four records with paced beats. Records
# 201 and 202 come from one patient and are on different sides.
DS1 = _names(
    "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230"
)
DS2 = _names(
    "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234"
)
PACED = ("102", "104", "107", "217")
# Second lead V5, V2 or V4 instead of V1.
_WITHOUT_V1 = {"100", "103", "114", "117", "123", "124"}
INTER_PATIENT_TWO_LEAD = tuple(sorted(record for record in DS1 + DS2 if record not in _WITHOUT_V1))
WITHIN_RECORD = _names("100 103 104 124 207 208 213 220 222 223")

RECORD_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ds1": DS1,
        "ds2": DS2,
        "without_pacemaker": tuple(sorted(DS1 + DS2)),
        "paced": PACED,
        "two_lead": INTER_PATIENT_TWO_LEAD,
        "within_record": WITHIN_RECORD,
    }
)

MITDB = Database(
    name="mitdb",
    version="1.0.0",
    title="MIT-BIH Arrhythmia Database",
    fs_hz=360.0,
    records=tuple(sorted(DS1 + DS2 + PACED)),
    lead_names=("MLII", "V1", "V2", "V4", "V5"),
    num_samples=650_000,
    adc_gain=200.0,
    adc_zero=1024,
    slug="mitdb/1.0.0",
    doi="10.13026/C2F305",
    license="Open Data Commons Attribution License v1.0",
    same_patient=MappingProxyType({"201": "201+202", "202": "201+202"}),
)

SVDB = Database(
    name="svdb",
    version="1.0.0",
    title="MIT-BIH Supraventricular Arrhythmia Database",
    fs_hz=128.0,
    records=tuple(str(n) for n in (*range(800, 813), *range(820, 830), *range(840, 895))),
    lead_names=("ECG1", "ECG2"),
    adc_gain=200.0,  # WFDB's default, for the headers of this database with gain 0
    slug="svdb/1.0.0",
    doi="10.13026/C2V30W",
    license="Open Data Commons Attribution License v1.0",
)

INCARTDB = Database(
    name="incartdb",
    version="1.0.0",
    title="St Petersburg INCART 12-lead Arrhythmia Database",
    fs_hz=257.0,
    records=tuple(f"I{n:02d}" for n in range(1, 76)),
    lead_names=("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"),
    slug="incartdb/1.0.0",
    doi="10.13026/C2V88N",
    license="Open Data Commons Attribution License v1.0",
    patient_in_header=r"(?i)\bpatient\s+(\d+)",  # 75 records of 32 patients
)

DATABASES: Mapping[str, Database] = MappingProxyType(
    {entry.name: entry for entry in (MITDB, SVDB, INCARTDB)}
)


def find_database(name: str) -> Database:
    """Return the database with this name.

    Args:
      name: Short name, e.g. `"mitdb"`.

    Returns:
      The entry of the catalog.

    Raises:
      ConfigError: The catalog has no such entry.
    """
    if name not in DATABASES:
        raise ConfigError(
            f"dataset.database={name!r}: not in the catalog; use one of {', '.join(DATABASES)}"
        )
    return DATABASES[name]
