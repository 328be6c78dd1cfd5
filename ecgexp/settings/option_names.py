"""The option that selects a part of a run, from the class of the part."""

import re

# Options whose name does not follow from the name of the class.
_OTHERWISE = {
    "DpSgd": "dp",
    "NoAugmentation": "none",
    "NotPrivate": "none",
    "Pooled": "none",
    "PrivacySpec": "dp",
}


def option_name(class_name: str) -> str:
    """Return the option as the user writes it after `trainer=`, `model=` and the other groups.

    Args:
      class_name: name of the class, with or without its module.

    Example:
      >>> option_name("ecgexp.training.DpSgd"), option_name("ByPatient"), option_name("Cnn1d")
      ('dp', 'by_patient', 'cnn1d')
    """
    name = class_name.rpartition(".")[2]
    return _OTHERWISE.get(name, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def typed_option(group: str, command: str) -> str:
    """Return the option that a command selects for a group; empty if it selects none.

    Args:
      group: `model`, `trainer`, ….
      command: as it was typed.

    Example:
      >>> typed_option("model", "ecgexp model=cnn1d_small trainer.epochs=2")
      'cnn1d_small'
    """
    found = re.findall(rf"(?:^|\s)['\"]?{re.escape(group)}=([\w/.-]+)['\"]?(?=\s|$)", command)
    return found[-1] if found else ""
