"""Small programs that each serve one embedded component in a process of its own."""
