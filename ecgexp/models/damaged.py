"""What to do about a saved model that is damaged, as a part of messages."""

FIX = "copy the folder again from where it was whole, or train the model again"
"""The remedy."""
