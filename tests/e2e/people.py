"""Invented patients, each with values that occur nowhere else: whoever finds one has found a leak."""

import itertools
from dataclasses import dataclass

_FIRST = ("Margaret", "Theodore", "Rosalind", "Cornelius", "Beatrice", "Desmond", "Philippa", "Leopold", "Harriet")
_LAST = (
    "Whitfield", "Ashcombe", "Pemberton", "Lockhart", "Thornbury", "Hollingsworth", "Abernathy", "Kingsley",
    "Radcliffe", "Stanhope", "Wetherby",
)  # fmt: skip
_numbers = itertools.count()


@dataclass(frozen=True)
class Patient:
    first: str
    last: str
    ssn: str
    mrn: str
    phone: str
    email: str
    born: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"

    @property
    def sentence(self) -> str:
        """Every value once, each the way clinicians write it."""
        return (
            f"Patient {self.name}, born {self.born}, SSN {self.ssn}, MRN {self.mrn}, "
            f"phone {self.phone}, e-mail {self.email}, came in with a cough."
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody but the caller may see; the name in both its parts."""
        return (self.first, self.last, self.ssn, self.mrn, self.phone, self.email, self.born)

    def found_in(self, text: str) -> list[str]:
        lowered = text.lower()
        return [secret for secret in self.secrets if secret.lower() in lowered]


def new_patient() -> Patient:
    """The next one. Numbers are spread, so that one is never a part of another."""
    number = next(_numbers)
    first, last = _FIRST[number % len(_FIRST)], _LAST[number % len(_LAST)]
    digits = f"{(number + 7) * 7919 % 10_000:04d}"
    return Patient(
        first=first,
        last=last,
        ssn=f"536-{22 + number % 60}-{digits}",
        mrn=f"48{digits}{number % 90 + 10}",
        phone=f"212-555-{digits}",
        email=f"{first[0]}.{last}{digits}@example.org".lower(),
        born=f"{number % 12 + 1:02d}/{number % 27 + 1:02d}/{1931 + number % 60}",
    )
