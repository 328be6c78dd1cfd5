"""The trainers: generators that get beats and yield one `Progress` per epoch or round."""
