"""From databases to labeled, split beats, with NumPy and wfdb and without TensorFlow.

`datasets` lists databases and finds their files, `formats` reads and checks files, `preprocessing`
cuts records into beats, and `synthetic` generates virtual patients. `grouping` assigns classes,
`splits` and `holdout` divide beats, `leakage`, `identity` and `overlap` check them, and `partition`
assigns them to clients. In the order of packages it follows `augmentation` and precedes `features`.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.data.beats import BeatSet as BeatSet
    from ecgexp.data.datasets.arrays import ArraysDataset as ArraysDataset
    from ecgexp.data.datasets.catalog import Database as Database
    from ecgexp.data.datasets.cross_database import TwoDatabases as TwoDatabases
    from ecgexp.data.datasets.folder import FolderDataset as FolderDataset
    from ecgexp.data.datasets.joined import JoinedDataset as JoinedDataset
    from ecgexp.data.datasets.parts import DatabasePart as DatabasePart
    from ecgexp.data.datasets.parts import FolderPart as FolderPart
    from ecgexp.data.datasets.recorded import RecordedDataset as RecordedDataset
    from ecgexp.data.datasets.synthetic import SyntheticDataset as SyntheticDataset
    from ecgexp.data.formats.record import Record as Record
    from ecgexp.data.grouping import LabelGrouping as LabelGrouping
    from ecgexp.data.partition.base import ClientPartition as ClientPartition
    from ecgexp.data.partition.base import Partition as Partition
    from ecgexp.data.partition.natural import ByPatient as ByPatient
    from ecgexp.data.partition.natural import ByRecord as ByRecord
    from ecgexp.data.partition.natural import Pooled as Pooled
    from ecgexp.data.partition.random import Dirichlet as Dirichlet
    from ecgexp.data.partition.random import Iid as Iid
    from ecgexp.data.partition.random import QuantitySkew as QuantitySkew
    from ecgexp.data.partition.random import Shards as Shards
    from ecgexp.data.preprocessing.settings import Preprocessing as Preprocessing
    from ecgexp.data.splits.as_given import AsGiven as AsGiven
    from ecgexp.data.splits.base import Split as Split
    from ecgexp.data.splits.cross_database import CrossDatabase as CrossDatabase
    from ecgexp.data.splits.inter_patient import InterPatient as InterPatient
    from ecgexp.data.splits.inter_patient import InterPatientTwoLead as InterPatientTwoLead
    from ecgexp.data.splits.inter_patient import PatientKFold as PatientKFold
    from ecgexp.data.splits.intra_patient import IntraPatient as IntraPatient
    from ecgexp.data.splits.intra_patient import WithinRecord as WithinRecord
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
