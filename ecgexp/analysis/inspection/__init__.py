"""A page about records before anything is trained on them: what is there, and what is wrong.

`reading` reads every record once and keeps counts and a few beats, `splits` says which divisions
are possible, `findings` what is wrong and how to fix it, and `typical` how beats of a class look.
`text` shows all of it in a terminal, `page` as HTML and `as_json` as values.
"""

MARK = b'content="ecgexp-inspect"'
"""Text by which a page of this command is recognized."""
