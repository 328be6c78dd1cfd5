"""Write the reference pages that follow from the code: configuration, commands and run outputs.

Every group of `conf/` becomes a section, every key a row with its type (from the settings class),
its value in the YAML file, and the comment beside it. Called by `conf.py` for each build.
"""

import argparse
import dataclasses
import re
import typing
from pathlib import Path
from typing import Any

import yaml

from ecgexp.data.preprocessing.settings import SharedPreprocessing
from ecgexp.experiment.experiment import Experiment
from ecgexp.privacy.publication import markdown
from ecgexp.settings.location import config_dir
from ecgexp.settings.registry import settings_class
from ecgexp.settings.renamed import KEYS, OPTIONS

CONF = config_dir()
_KINDS = {"preprocessing": SharedPreprocessing}
"""Settings class of groups whose files name none: their values are part of another."""
_COMMENT = re.compile(r"^\s*([\w.]+):.*?\s#\s*(.+)$")


def write(folder: Path) -> None:
    """Write all generated pages into `folder`, leaving those that are unchanged untouched."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "configuration.md": configuration_page(),
        "outputs.md": outputs_page(),
        "renamed_settings.md": renamed_settings(),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def outputs_page() -> str:
    """The table of everything that a run writes, and what the privacy guarantee covers of it."""
    return (
        "# Outputs of a run and their privacy coverage\n\n"
        "This table is `ecgexp/privacy/outputs.py`; statement, trackers, console and "
        "`ecgexp-report --public` are made from the same table.\n\n" + markdown() + "\n"
    )


def renamed_settings() -> str:
    """The tables of renamed configuration keys and options, for `renamed.md` to include."""
    tables = {"Configuration keys": KEYS, "Configuration options": OPTIONS}
    parts = []
    for title, names in tables.items():
        rows = [f"| `{old}` | `{new}` |" for old, new in names.items()]
        parts.append("\n".join([f"## {title}", "", "| before | now |", "| --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def configuration_page() -> str:
    """Every configuration group, option and key."""
    parts = [
        "# Configuration groups and keys",
        "Generated from `conf/` and from the settings classes that its files name. "
        "`ecgexp GROUP=OPTION` chooses a file, `ecgexp GROUP.KEY=VALUE` another value.",
        "## Top level",
        _keys(CONF / "config.yaml", skip=("defaults", "hydra"), kind=Experiment),
    ]
    for group in sorted(path for path in CONF.iterdir() if path.is_dir()):
        if group.name in ("hydra", "__pycache__"):
            continue
        parts.append(f"## {group.name}")
        for file in sorted(group.rglob("*.yaml")):
            option = file.relative_to(group).with_suffix("").as_posix()
            place = f"{group.name}@dataset" if group.name == "preprocessing" else group.name
            parts.append(f"### {place}={option}")
            parts.append(_header(file))
            if group.name != "experiment":
                parts += [_target(file), _keys(file, kind=_KINDS.get(group.name))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(file: Path) -> str:
    """The comment at the head of a YAML file, as a block of text."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" "))
    return "```text\n" + "\n".join(lines).strip() + "\n```" if any(lines) else ""


def _node(file: Path) -> dict[str, Any]:
    """The values that a YAML file gives to its group."""
    text = file.read_text(encoding="utf-8")
    node = yaml.safe_load(text) or {}
    group = file.relative_to(CONF).parts[0]
    # A preset of `debug` changes other groups too, which are all listed.
    is_global = (
        "@package _global_" in text and isinstance(node.get(group), dict) and group != "debug"
    )
    return node[group] if is_global else node


def _target(file: Path) -> str:
    """The settings class of an option, by its public name."""
    target = _node(file).get("_target_")
    return f"Class: `{target}`" if target else ""


def _keys(file: Path, skip: tuple[str, ...] = ("defaults", "_target_"), kind: Any = None) -> str:
    """A table of the keys of one YAML file."""
    text = file.read_text(encoding="utf-8")
    node = _node(file)
    comments = {
        found[1]: found[2]
        for line in text.splitlines()
        if (found := _COMMENT.match(line)) is not None
    }
    target = node.get("_target_")
    types = _types(settings_class(target) if target else kind)
    rows = []
    for key, value in _flat(node, skip):
        leaf = key.rsplit(".", 1)[-1]
        row = (f"`{key}`", types.get(key, ""), f"`{_shown(value)}`", comments.get(leaf, ""))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    for key, (kind, default) in _unset(node, types).items():
        rows.append(
            f"| `{key}` | {kind} | `{default}` | not in the file: the default of the class |"
        )
    if not rows:
        return ""
    return "\n".join(["| key | type | value | meaning |", "| --- | --- | --- | --- |", *rows])


def _flat(node: dict[str, Any], skip: tuple[str, ...], prefix: str = "") -> list[tuple[str, Any]]:
    """Leaves of a nested mapping with dotted keys, without `_target_` below the first level."""
    leaves: list[tuple[str, Any]] = []
    for key, value in node.items():
        if key in skip or key == "_target_":
            continue
        if isinstance(value, dict) and value:
            leaves += _flat(value, (), f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", value))
    return leaves


def _fields(target: str | None) -> dict[str, "dataclasses.Field[Any]"]:
    return {f.name: f for f in dataclasses.fields(settings_class(target))} if target else {}


def _types(kind: Any, prefix: str = "") -> dict[str, str]:
    """Type of each key of a settings class, those of nested settings classes with dotted names."""
    if kind is None:
        return {}
    found: dict[str, str] = {}
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            found |= _types(hint, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = _type(hint)
    return found


def _type(hint: Any) -> str:
    """A type as a reader writes it: `int`, `cosine | constant`, `int | null`."""
    if hint is type(None):
        return "null"
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return " | ".join(str(value) for value in typing.get_args(hint))
    if origin is typing.Annotated:
        return _type(typing.get_args(hint)[0])
    if str(origin) in ("typing.Union", "<class 'types.UnionType'>"):
        return " | ".join(_type(part) for part in typing.get_args(hint))
    if origin is not None:
        inner = ", ".join(_type(part) for part in typing.get_args(hint) if part is not ...)
        return f"{origin.__name__} of {inner}" if inner else origin.__name__
    return getattr(hint, "__name__", str(hint))


def _unset(node: dict[str, Any], types: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Fields of the class that the file does not set."""
    return {
        name: (types.get(name, ""), _shown(field.default))
        for name, field in _fields(node.get("_target_")).items()
        if name not in {*node, *_included(node)} and field.default is not dataclasses.MISSING
    }


def _included(node: dict[str, Any]) -> set[str]:
    """Keys that a file takes from an option of another group, by `- /GROUP@_here_: OPTION`."""
    return {
        key
        for entry in node.get("defaults", [])
        if isinstance(entry, dict)
        for name, option in entry.items()
        if name.startswith("/") and name.endswith("@_here_")
        for key in yaml.safe_load((CONF / name[1:].split("@")[0] / f"{option}.yaml").read_text())
    }


def _shown(value: Any) -> str:
    """A value as YAML writes it on one line."""
    if value is None:
        return "null"
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000).splitlines()[0]
        if isinstance(value, bool | int | float | str | list | dict)
        else str(value)
    )


def main() -> None:
    """Write the pages into a folder, for a look at them without Sphinx."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
