"""Differential privacy: the plan, what it draws, what it costs, and what may be said about it. No TensorFlow here."""
