"""Virtual patients, and the WFDB database that is written for them.

`patient` draws the parameters of a patient, `rhythm` the times and symbols of the beats, `signal`
the leads; `shapes` has the waveforms of the beats; `database` writes the records. All draws come
from named random streams.
"""
