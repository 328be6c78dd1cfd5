"""The predecessor's faults, each as a switch, so that what each was worth can be measured; `experiment=parity/…` alone has them.

A switch *replaces* a part of a run, in `replay`, before anything is read; the parts it is made of know nothing of it. With all
switches off nothing here is executed. A run with one on says so wherever it is looked at, and promises nothing.
"""

from ecgexp.replication.protocol_errors import Flaws

__all__ = ["Flaws"]
