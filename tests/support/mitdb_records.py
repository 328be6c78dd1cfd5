"""The published database mitdb and its record sets, as `conf/database/` describes them."""

from ecgexp.data.datasets.catalog import find_database

MITDB = find_database("mitdb")
DS1, DS2, PACED, TWO_LEAD, WITHIN_RECORD = map(
    MITDB.record_set, ("ds1", "ds2", "paced", "two_lead", "within_record")
)
