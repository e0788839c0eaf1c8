"""What the command's words do. Each module holds the words of one concern."""
