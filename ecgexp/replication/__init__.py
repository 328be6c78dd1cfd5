"""The replicated study: the Keras implementation behind Firouzi et al. 2020, whose protocol errors are switches.

A switch *replaces* a part of a run before anything is read; the parts it is made of know nothing of it, and neither does the
experiment that every other run is. With all switches off nothing here is executed. A run with one on says so wherever it is
looked at, and promises nothing.
"""
