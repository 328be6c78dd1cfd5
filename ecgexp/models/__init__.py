"""The architectures: one settings class each, whose `build` makes the Keras model."""
