"""The clinical text of the benchmark: 1,000 characters, a mark in each sentence that the loader replaces by a new word.

Eight of its values are PHI, about what a visit note holds. All of it is invented.
"""

MARK = "~~~~~~~~"
"""What the loader writes anew for each request; in the cached runs it is sent as it is."""

_NOTE = (
    "Mrs. Eleanor Whitcombe, MRN 48211907, came in on March 3rd with dyspnoea on exertion for two weeks ~~~~~~~~. "
    "It is worse at night and she denies chest pain, palpitations or syncope ~~~~~~~~. "
    "Blood pressure was slightly raised, the lungs were clear and both ankles showed mild edema ~~~~~~~~. "
    "Current medication includes lisinopril 10 mg daily and metformin 500 mg twice a day ~~~~~~~~. "
    "Labs show normal kidney function and a moderately raised natriuretic peptide ~~~~~~~~. "
    "Her daughter Judith Whitcombe can be reached at 617-555-0142 or judith.w@example.com ~~~~~~~~. "
    "She was last seen by Dr. Emily Carter at Boston General for an elective knee replacement ~~~~~~~~. "
    "There is no history of stroke, and the family history is positive for early infarction ~~~~~~~~. "
    "Please summarize the follow up plan and list the medications with the usual cautions ~~~~~~~~. "
    "Then draft a short referral letter to a cardiologist asking for an echocardiogram soon ~~~~~~~~. "
    "Close with advice on salt or weight at home."
)


def note(*, marked: bool) -> str:
    """1,000 characters: with the marks, or with fixed words of the same length in their place."""
    return _NOTE if marked else _NOTE.replace(MARK, "at night")
