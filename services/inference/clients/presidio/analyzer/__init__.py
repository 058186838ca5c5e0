"""What a worker runs over one text: Presidio's analyzer with our recognizer. Nothing here knows of processes."""
