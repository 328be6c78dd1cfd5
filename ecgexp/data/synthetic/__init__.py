"""Virtual patients, and the WFDB database that is written of them.

`patient` draws who a patient is, `rhythm` when the beats come, `shapes` what they look like,
`signal` the leads; `database` writes the records. All draws come from named random streams.
"""
