"""What the sandbox for users' code is made of: its root, its system calls, and what runs in it."""
