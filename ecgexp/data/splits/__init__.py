"""Splits divide beats into training, validation and test parts: by patient, beat or database."""
