"""The commands, one file each: they parse arguments, call the packages below, and print.

`arguments` holds what the `ecgexp-*` commands share, `streams` what a command writes to, and
`multirun` the callback by which Hydra opens and closes a sweep. No other package imports this one.
"""
