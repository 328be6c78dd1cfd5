"""Forks a process for every ending it is asked for, so TFF is imported once; each runs a round, says so, and ends that way.

Run by `test_local.py` with a socket as file 0, which brings the ending's name and the pipe to write to.
"""

import json
import os
import signal
import socket

import tensorflow_federated  # noqa: F401  before any fork, and nothing but imported: it has started no thread yet


def run_and_end(ending: str) -> None:
    from linear_process import build_process, client, endless_client

    from ecgexp.training.federated.local import Local

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    runtime = Local(build_process())
    state, _ = runtime.next(runtime.initialize(), [client([[1, 2]], [3])])
    worker = runtime.worker
    print(json.dumps([worker.pid, worker.leash_pid, str(worker.log_file.parent)]), flush=True)
    del worker
    if ending == "exception":
        raise LookupError("in the middle of a run")
    if ending != "success":
        runtime.next(state, [endless_client()])


def main() -> None:
    control = socket.socket(fileno=0)
    while True:
        ending, pipes, _, _ = socket.recv_fds(control, 100, 1)
        if not ending:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            for file in (1, 2):
                os.dup2(pipes[0], file)
            os.close(pipes[0])
            run_and_end(ending.decode())
            return  # as any script, to the interpreter's own exit
        os.close(pipes[0])
        control.sendall(f"{pid}\n".encode())
        control.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())


if __name__ == "__main__":
    main()
