"""What callers can have done."""
