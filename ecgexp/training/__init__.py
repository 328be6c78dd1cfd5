"""The trainers: generators that take beats and yield one `EpochResult` per epoch or round.

The package holds the trainer protocol (`base`), the centralized trainer, DP-SGD (`dp`), federated
training (`federated`), and what they share: optimizers, losses, devices, model selection and
checkpoints. It uses the packages below it (privacy, clipping, models, augmentation, data);
`ecgexp.experiment` runs its trainers.
"""
