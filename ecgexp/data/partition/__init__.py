"""Which client holds which beats: all in one place, by patient or record, or drawn with a chosen skew."""
