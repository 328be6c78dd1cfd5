"""Which client holds which beats: all in one place, by patient or record, or drawn with a chosen skew."""

from ecgexp.data.partition.base import Deal, Partition, check_deal

__all__ = ["Deal", "Partition", "check_deal"]
