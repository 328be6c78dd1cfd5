"""The trainers: generators that get beats and yield one `EpochResult` per epoch or round."""
