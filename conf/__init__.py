"""The YAML groups of an experiment; a package, so that the installed console script finds them."""
