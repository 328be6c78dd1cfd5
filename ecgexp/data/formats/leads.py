"""Names of leads: how a lead of the settings is found among the leads of a record."""

import re
from collections import Counter
from collections.abc import Sequence

FIRST_LEAD = "first lead"
"""The lead of `dataset.leads=null`: the first lead of each record that can be used."""

REPEATED_NAME = "lead with the name of another lead, distinguished by a number"
"""A note; see `Record.notes` and `numbered`."""

_PREFIX = re.compile(r"(ecg|ekg|lead)(?=.)")


def find_lead(spellings: Sequence[str], names: Sequence[str]) -> str | None:
    """Find a lead by its name, exactly or else in a simplified spelling.

    The simplified spelling has no upper case, no spaces, `_`, `-` and `.`, and no `ECG`, `EKG` or
    `Lead` at its beginning, so that `MLII`, `mlII`, `ECG MLII` and `Lead MLII` are equal. It is
    used only if one lead of the record has it.

    Args:
      spellings: Names that the lead may have, the preferred one first; `FIRST_LEAD` is the first of
        `names`.
      names: Leads of the record.

    Returns:
      The name in the record; None if there is none, or several in the simplified spelling.

    Example:
      >>> find_lead(["II"], ["ECG I", "ECG II"])
      'ECG II'
      >>> find_lead(["II"], ["Lead II", "ECG II"]) is None
      True
    """
    if FIRST_LEAD in spellings:
        return names[0] if names else None
    for spelling in spellings:
        if spelling in names:
            return spelling
    for spelling in spellings:
        found = [name for name in names if _simplified(name) == _simplified(spelling)]
        if len(found) == 1:
            return found[0]
    return None


def find_leads(spellings: Sequence[Sequence[str]], names: Sequence[str]) -> list[str | None]:
    """Find several leads, as `find_lead`; a lead of the record is used for one of them only."""
    found: list[str | None] = []
    for each in spellings:
        name = find_lead(each, names)
        found.append(None if name in found else name)
    return found


def numbered(names: Sequence[str]) -> list[str]:
    """Distinguish signals with one name: `ECG-1`, `ECG-2`, …; other names stay as they are.

    Example:
      >>> numbered(["ECG", "V1", "ECG"])
      ['ECG-1', 'V1', 'ECG-2']
    """
    counts, seen = Counter(names), Counter[str]()
    found = []
    for name in names:
        if counts[name] > 1:
            seen[name] += 1
            name = f"{name}-{seen[name]}"
            while name in counts:
                name += "'"
        found.append(name)
    return found


def _simplified(name: str) -> str:
    plain = re.sub(r"[\s_.\-]", "", name.casefold())
    return _PREFIX.sub("", plain, count=1)
