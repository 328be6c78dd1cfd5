"""Readers and writers of recordings: WFDB and the CSV layout of Kaggle.

Files are validated before a library parses them (`wfdb_header`, `wfdb_annotations`, `untrusted`)
and compared with what their header states (`integrity`). `download` fetches a database from
PhysioNet.
"""
