"""Which client holds which beats: all in one place, by patient or record, or drawn with a chosen skew."""

from ecgexp.data.partition.base import ClientPartition, Partition, check_partition

__all__ = ["ClientPartition", "Partition", "check_partition"]
