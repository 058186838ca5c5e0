"""Makes the PDF of a signed agreement: `fonts` and `lines` and `typesetting` set it, `certificates` and `signing` sign it, `press` does both."""
