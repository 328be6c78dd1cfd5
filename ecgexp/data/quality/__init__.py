"""Signal quality by segment: whether a lead shows an ECG at all."""
