"""Messages to the model, with the PHI guard in front of it and the record behind it."""
