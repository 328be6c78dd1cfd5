"""What each of the predecessor's faults was worth: they are turned off one after the other, for a table and a figure."""
