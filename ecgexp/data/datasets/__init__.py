"""Datasets: settings that name a database and load its beats.

`recorded` reads published databases from files, `synthetic` generates a database of virtual
patients, `cross_database` joins a database for training and another one for testing, and `catalog`
describes the published databases.
"""
