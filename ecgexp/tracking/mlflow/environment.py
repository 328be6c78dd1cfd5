"""The environment of a logged model: a wheel of this package, and the versions of all it needs.

The model is loaded where neither the package nor its checkout is installed, so it carries the
package as one file. No build tool and no network are needed: the wheel is written from the files of
the package that runs and from the metadata of its installation, which may be editable.
"""

import base64
import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ecgexp
from ecgexp.settings.plugins import Plugin

NAME = ecgexp.__name__
_PACKAGE = Path(ecgexp.__file__).absolute().parent
# Suffixes of the package's files.
_CODE = frozenset({".py", ".yaml", ".j2", ".css", ".js", ".sha256", ".txt", ".typed"})
_TIME = (2020, 2, 2, 0, 0, 0)  # of every entry, so that equal files make equal wheels


def write_wheel(folder: Path, plugin: Plugin | None = None) -> Path:
    """Write a wheel of the running package, or of a plug-in.

    **Guarantees** It holds the files of the package and no other file of a checkout
    (`tests/unit/tracking/test_logged_model.py`). Equal code makes equal
    bytes and an equal name; the build tag of the name is a digest of the code, so that environments
    which are cached by name do not serve a model with the code of another one.

    Args:
      folder: receives the file.
      plugin: the plug-in; None: this package.

    Returns:
      Its path.

    Raises:
      importlib.metadata.PackageNotFoundError: the package is not installed.
    """
    distribution = metadata.distribution(NAME if plugin is None else plugin.distribution)
    stem = f"{canonicalize_name(distribution.name).replace('-', '_')}-{distribution.version}"
    files = dict(sorted(_package_files() if plugin is None else _files_of(plugin)))
    info = f"{stem}.dist-info"
    licenses = distribution.metadata.get_all("License-File") or ()
    content_of = distribution.read_text  # which decodes UTF-8
    for name in ("METADATA", "entry_points.txt", *(f"licenses/{name}" for name in licenses)):
        text = content_of(name)
        if text is not None:
            files[f"{info}/{name}"] = text.encode()
    tag = _digest(files)
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        f"Build: {tag}\n"
    ).encode()
    record = "".join(f"{name},{_record_hash(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"{stem}-{tag}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return path


def exact_requirements(used: Sequence[Plugin] = ()) -> list[str]:
    """Return `name==version` of all packages that this one needs, directly or not, as installed.

    Args:
      used: plug-ins, whose needs are added.

    Returns:
      The requirements, without this package and the plug-ins.

    Extras and groups of dependencies are not among them, nor is a package whose marker excludes
    this machine.
    """
    versions: dict[str, str] = {}
    own = [NAME, *(plugin.distribution for plugin in used)]
    waiting = [
        (Requirement(text), frozenset[str]())
        for name in own
        for text in metadata.requires(name) or ()
    ]
    done = {(canonicalize_name(name), frozenset[str]()) for name in own}
    while waiting:
        requirement, extras = waiting.pop()
        if requirement.marker is not None and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}
        ):
            continue
        name, wanted = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, wanted) in done:
            continue
        done.add((name, wanted))
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # installed without dependencies
            continue
        versions[name] = found.version
        waiting += [(Requirement(text), wanted) for text in found.requires or ()]
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def _package_files() -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files; a checkout has the configuration beside the package."""
    places = [(_PACKAGE, NAME)]
    if not (_PACKAGE / "conf").is_dir():
        places.append((_PACKAGE.parent / "conf", f"{NAME}/conf"))
    for folder, name in places:
        for path in sorted(folder.rglob("*")):
            if path.suffix in _CODE and path.is_file():
                yield f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _files_of(plugin: Plugin) -> Iterator[tuple[str, bytes]]:
    for path in plugin.files():
        yield f"{plugin.name}/{path.relative_to(plugin.folder).as_posix()}", path.read_bytes()


def _digest(files: Mapping[str, bytes]) -> str:
    """Return a build tag, which begins with a digit."""
    found = hashlib.sha256()
    for name, data in files.items():
        found.update(f"{name} {len(data)}\n".encode() + data)
    return f"0{found.hexdigest()[:12]}"


def _record_hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
