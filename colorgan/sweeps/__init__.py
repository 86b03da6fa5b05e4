"""Many runs from one command, and the table that compares them."""
