"""The replication of the Keras implementation behind Firouzi et al. 2020.

Its protocol errors are switches. A switch *replaces* a part of a run before any data are read;
neither the other parts nor `ecgexp.experiment` depend on this package. With all switches off
nothing here is executed. A run with a switch on says so in all its outputs and has no privacy
guarantee.
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
