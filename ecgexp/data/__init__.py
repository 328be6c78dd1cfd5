"""From databases to labeled, split beats, with NumPy and wfdb and without TensorFlow.

`datasets` lists databases and finds their files, `formats` reads and checks files, `preprocessing`
cuts records into beats, and `synthetic` generates virtual patients. `grouping` assigns classes,
`splits` and `holdout` divide beats, `leakage`, `identity` and `overlap` check them, and `partition`
assigns them to clients. In the order of packages it follows `augmentation` and precedes `features`.
"""
