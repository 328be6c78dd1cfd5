"""Where the computations of a federated round are executed.

`base` is the protocol of a runtime; `in_process` executes a round in this process, on threads, with
the graphs of `graphs`.
"""
