"""Datasets: the settings that name a database and load its beats.

`recorded` reads published databases from files, `synthetic` generates one, `cross_database` trains
on one database and tests on another; `catalog` lists what the published ones hold.
"""
