"""Readers and writers of recordings: WFDB and the CSV layout of Kaggle.

Files are untrusted (`untrusted`): each reader parses them completely, or refuses them in one line,
and compares them with what their header states. What is accepted although it is unusual is counted
in `Record.notes`. `download` fetches a database from PhysioNet.
"""
