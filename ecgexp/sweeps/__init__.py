"""Many runs as one piece of work: what is done is not done again, what failed is named, and what it all cost is added up."""
