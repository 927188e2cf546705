"""What each engine adds to a firmware project, and how its arena is checked: a folder an engine."""
