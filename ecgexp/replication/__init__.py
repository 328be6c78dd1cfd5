"""The replicated study: the Keras implementation behind Firouzi et al. 2020, whose protocol errors are switches.

A switch *replaces* a part of a run before anything is read; the parts it is made of know nothing of it, and neither does the
experiment that every other run is. With all switches off nothing here is executed. A run with one on says so wherever it is
looked at, and promises nothing.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.replication.experiment import ReplicationExperiment as ReplicationExperiment
    from ecgexp.replication.parts import CopiedBefore as CopiedBefore
    from ecgexp.replication.parts import FirstBeats as FirstBeats
    from ecgexp.replication.parts import NeverRan as NeverRan
    from ecgexp.replication.parts import OneRoundLess as OneRoundLess
    from ecgexp.replication.protocol_errors import ProtocolErrors as ProtocolErrors
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
