"""What inference knows by itself: rules, refusals, the shapes of requests and answers."""
