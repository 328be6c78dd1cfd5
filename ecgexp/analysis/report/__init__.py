"""One self-contained HTML page about finished runs: what privacy cost them, how they scored, what they promise."""
