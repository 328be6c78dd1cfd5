"""What a model is worth: scores, their uncertainty, tables and figures. No TensorFlow here.

The words are those of ANSI/AAMI EC57: sensitivity (recall) and positive predictivity (precision). A score that is not
defined, such as the positive predictivity of a class that was never predicted, is NaN with its reason and never 0.
"""
