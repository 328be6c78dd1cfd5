"""Partitions assign beats to clients: all to one, by patient or record, or drawn with a skew."""
