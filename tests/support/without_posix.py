"""What the package sees of Windows: no POSIX modules, functions or flags, and no `/proc`.

`pretend()` hides them from the modules of ecgexp that are imported afterwards. Their `os` also
opens no folder and renames no open file. Libraries keep the real system.
"""

import builtins
import io
import os
import signal
import sys
from types import ModuleType

MODULES = ("fcntl", "resource", "pwd", "grp", "termios")
_HIDDEN = {
    "os": {
        *("getuid", "geteuid", "fchmod", "killpg", "fork", "setsid", "sched_getaffinity", "uname"),
        *("statvfs", "getpgid", "wait", "waitpid", "register_at_fork", "mkfifo", "pread"),
        *("O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_CLOEXEC", "O_SYNC"),
    },
    "signal": {"SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGPIPE", "SIGCHLD", "SIGCONT"},
}
_real_open, _real_import = io.open, builtins.__import__


class _Seen(ModuleType):
    """A module without some of its names."""

    def __init__(self, real, hidden, **changed):
        super().__init__(real.__name__)
        self.__dict__.update(changed, _real=real, _hidden=hidden)

    def __getattr__(self, name):
        if name in self._hidden:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._real, name)


def _open_handle(path, *how, **more):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return os.open(path, *how, **more)


def _rename(source, target):
    inside = os.path.realpath(source)
    for number in os.listdir("/proc/self/fd"):
        opened = os.path.realpath(f"/proc/self/fd/{number}")
        if opened == inside or opened.startswith(f"{inside}{os.sep}"):
            raise PermissionError(32, "It is being used by another process", str(source))
    os.replace(source, target)


def _open_file(path, *how, **more):
    if str(path).startswith("/proc/"):
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return _real_open(path, *how, **more)


def pretend():
    """Hides it for the rest of this process; import the libraries before."""
    seen = {
        "os": _Seen(
            os, _HIDDEN["os"], open=_open_handle, replace=_rename, rename=_rename, supports_fd=set()
        ),
        "signal": _Seen(signal, _HIDDEN["signal"]),
    }

    def importing(name, globals=None, locals=None, fromlist=(), level=0):  # noqa: A002
        if str((globals or {}).get("__name__", "")).startswith("ecgexp"):
            if name in MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in seen:
                return seen[name]
        return _real_import(name, globals, locals, fromlist, level)

    builtins.__import__ = importing
    io.open = _open_file
    sys.modules["fcntl"] = None  # looked for with importlib, which the line above does not see
