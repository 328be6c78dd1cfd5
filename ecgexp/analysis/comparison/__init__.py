"""One run held against another on the beats of both: what differs, what it made of the scores, and what may be chance."""
