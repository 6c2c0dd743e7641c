"""Records out: what a record is, how it becomes a line, and where lines go."""
