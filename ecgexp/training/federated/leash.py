"""The leash: a small process between ours and TFF's worker, which ends the worker whenever ours ends, however it ends.

Run by `worker.py` as a script in a bare interpreter, so it knows the standard library only. It does three things:

- It holds the worker: the kernel kills the worker if the leash dies (a parent-death signal), and the leash kills it when
  our process closes its end of a socket or is gone, `kill -9` included. A parent-death signal from our own process would not
  do: the kernel ties it to the *thread* that started the child, and a trainer may run in a thread that ends before we do.
- It puts the worker in a network namespace of its own, where the system allows that. The worker has no flag for the address
  it listens on: it listens on all of them, asks for no password, and runs any graph that it is sent.
- It lets us in: a Unix socket, in a folder that only its owner can enter, is relayed to the worker's port. Sockets with a
  name in the file system cross network namespaces; addresses do not.
"""

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_TICK_S = 0.25
_CHUNK = 1 << 20


def main(parent: int, address: str, network: str, command: list[str]) -> None:
    """Runs `command` until it ends or the process `parent` does.

    Says on the socket that is file 0, one JSON object a line: `failed`; or `worker` and `isolated`, then `ready`, then `exited`.

    Args:
      parent: the process that started this one, and holds the other end of the socket.
      address: of the Unix socket to make, in a folder of its own.
      network: `own` asks for a network namespace; else the worker shares ours.
      command: the worker and its flags, to which its port is added.
    """
    control = socket.socket(fileno=0)
    try:
        isolated = network == "own" and enter_own_network()
        with reserve_port() as reserved:
            port = reserved.getsockname()[1]
            worker = _start([*command, f"--port={port}"])
            try:
                _say(control, worker=worker.pid, isolated=isolated)
                _serve(control, worker, address, port, lambda wait_s: _is_over(control, worker, parent, wait_s))
            finally:
                worker.kill()
                worker.wait()
                if _is_orphan(control, parent):  # nobody else will tidy up
                    shutil.rmtree(os.path.dirname(address), ignore_errors=True)
    except OSError as error:
        _say(control, failed=str(error))


def enter_own_network() -> bool:
    """Moves this process into a network namespace with nothing but a loopback; False, and no change, where that is refused."""
    # A child tries first: where AppArmor restricts user namespaces, half of it is allowed and cannot be undone.
    child = os.fork()
    if child == 0:
        try:
            _unshare_network()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        return False
    _unshare_network()
    return True


def _unshare_network() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if (
        _LIBC.unshare(_CLONE_NEWNET) != 0
    ):  # needs an administrator's right; a user has it in a user namespace of their own
        if _LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no network namespace")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))


def reserve_port() -> socket.socket:
    """A socket that keeps a free port from other processes that look for one; only the worker can join it there.

    gRPC's servers share their port with others of the same user (SO_REUSEPORT), so two workers that were given the same one
    would both start, and each would get some of the other's calls.
    """
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("", 0))  # not listening, so it is given no connection
    return reserved


def _start(command: list[str]) -> subprocess.Popen:
    leash = os.getpid()

    def die_with_leash() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != leash:  # it died before the kernel was told
            os._exit(1)

    # The leash has one thread so far, so Python may run between fork and exec; and that thread lives as long as the leash.
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_leash)  # noqa: PLW1509


def _serve(
    control: socket.socket, worker: subprocess.Popen, address: str, port: int, is_over: Callable[[float], bool]
) -> None:
    while not _answers(port):
        if is_over(0.05):
            return
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    try:
        listener.listen()
        threading.Thread(target=_accept, args=(listener, port), daemon=True).start()
        _say(control, ready=True)
        while not is_over(_TICK_S):
            pass
    finally:
        os.unlink(address)


def _is_over(control: socket.socket, worker: subprocess.Popen, parent: int, wait_s: float) -> bool:
    if select.select([control], [], [], wait_s)[0]:  # a farewell, or closed without one
        return True
    if worker.poll() is not None:
        _say(control, exited=worker.returncode)
        return True
    return os.getppid() != parent  # where a child that it forked still holds its end of the socket


def _is_orphan(control: socket.socket, parent: int) -> bool:
    control.setblocking(False)
    try:
        return not control.recv(1) or os.getppid() != parent
    except BlockingIOError:  # it is there, and has not asked for the end
        return os.getppid() != parent
    except OSError:
        return True


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _accept(listener: socket.socket, port: int) -> None:
    while True:
        ours, _ = listener.accept()
        try:
            theirs = socket.create_connection(("127.0.0.1", port))
        except OSError:
            ours.close()
            continue
        theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink in ((ours, theirs), (theirs, ours)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    buffer = memoryview(bytearray(_CHUNK))
    try:
        while count := source.recv_into(buffer):
            sink.sendall(buffer[:count])
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # one side is gone: the other must hear of it at once
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def _say(control: socket.socket, **words: object) -> None:
    try:
        control.sendall(json.dumps(words).encode() + b"\n")
    except OSError:  # nobody listens any more, which ends the loop
        return


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
