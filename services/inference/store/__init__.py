"""What is kept, and the statements that keep it."""
