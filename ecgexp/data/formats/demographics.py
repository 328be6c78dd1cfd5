"""Sex and age by decade of the patient of a record, from the comments of a header or EDF fields.

These are the only values that are taken from the fields that describe a person, and only with
`dataset.demographics=true`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

UNKNOWN = "unknown"
OLDEST = 90
"""Ages from here on are one group, since few persons have them."""

_YOUNGEST, _IMPOSSIBLE = 0, 121
_SEXES = {"m": "male", "f": "female"}
_SEX_WORD = r"(?P<sex>male|female|m|f)"
_AGE_AND_SEX = re.compile(rf"(?P<age>-?\d{{1,3}})\s+{_SEX_WORD}(?:\s|$)", re.IGNORECASE)
_SEX = re.compile(rf"(?:^|[\s<,;])(?:sex|gender)>?\s*[:=]\s*<?{_SEX_WORD}\b", re.IGNORECASE)
_AGE = re.compile(r"(?:^|[\s<,;])age>?\s*[:=]\s*<?(?P<age>\d{1,3})\b(?!\s*[.,-]\d)", re.IGNORECASE)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAY = re.compile(r"(\d{1,2})-([A-Z]{3})-(\d{4})", re.ASCII)
_DAYS_OF_YEAR = 365.25


@dataclass(frozen=True, kw_only=True)
class Demographics:
    """What is known of the patient of a record.

    **Guarantees**: no exact age, no date and no other text of a header
    (`tests/unit/data/test_demographics.py`).

    Attributes:
      sex: `female`, `male` or `unknown`.
      age: A decade, such as `60-69`; `90 or older`; or `unknown`.

    Example:
      >>> of_comments(["69 M 1085 1629 x1", "Aldomet, Inderal"])
      Demographics(sex='male', age='60-69')
    """

    sex: str = UNKNOWN
    age: str = UNKNOWN


def decade(age: float | None) -> str:
    """Return the decade of an age in years; `unknown` for None and for impossible ages.

    Example:
      >>> decade(69.9), decade(97), decade(-1)
      ('60-69', '90 or older', 'unknown')
    """
    if age is None or not _YOUNGEST <= age < _IMPOSSIBLE:
        return UNKNOWN
    if age >= OLDEST:
        return f"{OLDEST} or older"
    return f"{10 * int(age // 10)}-{10 * int(age // 10) + 9}"


def of_comments(comments: Sequence[str]) -> Demographics:
    """Read sex and age from the comments of a WFDB header.

    Two forms are known: the first comment begins with both (`69 M 1085 1629 x1`, as those of mitdb
    do), or they are named (`<age>: 65 <sex>: F`, `Age: 65`).

    Args:
      comments: The comment lines.

    Returns:
      What they state; `unknown` for the rest.
    """
    if comments and (both := _AGE_AND_SEX.match(comments[0])):
        return Demographics(sex=_sex(both["sex"]), age=decade(int(both["age"])))
    sex = next((found for line in comments if (found := _SEX.search(line))), None)
    age = next((found for line in comments if (found := _AGE.search(line))), None)
    return Demographics(
        sex=UNKNOWN if sex is None else _sex(sex["sex"]),
        age=UNKNOWN if age is None else decade(int(age["age"])),
    )


def of_edf(path: Path) -> Demographics:
    """Read sex and age from the header of an EDF+ or BDF+ file.

    The age is that at the recording: from the birth date, the third word of the patient field, and
    the start date, the second word of the recording field. Plain EDF has no such words.

    Args:
      path: The file.

    Returns:
      What it states; `unknown` for the rest.

    Raises:
      OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(256)
    if header[192:196] not in (b"EDF+", b"BDF+"):
        return Demographics()
    patient = header[8:88].decode("ascii", "replace").split()
    recording = header[88:168].decode("ascii", "replace").split()
    born = _date(patient[2]) if len(patient) > 2 else None
    began = _date(recording[1]) if len(recording) > 1 and recording[0] == "Startdate" else None
    years = None if born is None or began is None else (began - born).days / _DAYS_OF_YEAR
    sex = patient[1] if len(patient) > 1 and patient[1] in ("F", "M") else ""
    return Demographics(sex=_sex(sex), age=decade(years))


def _sex(word: str) -> str:
    return _SEXES.get(word[:1].lower(), UNKNOWN)


def _date(text: str) -> date | None:
    found = _DAY.fullmatch(text.upper())
    if found is None or found[2] not in _MONTHS:
        return None
    try:
        return date(int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1]))
    except ValueError:  # such as 31-FEB-2000
        return None
