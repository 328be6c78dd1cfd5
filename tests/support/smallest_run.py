"""Overrides of a run that is as small as a private run can be."""

SMALLEST = [
    "dataset.num_patients=10",
    "dataset.minutes=0.6",
    "grouping=binary",
    "num_resamples=0",
    "model=cnn1d_small",
    "model.filters=[4]",
    "model.kernel_sizes=[5]",
    "model.dense_units=4",
]
