"""What billing refuses, beyond the chassis' own refusals."""

from services.chassis.errors import ServiceUnavailable


class UnknownCatalogue(ServiceUnavailable):
    """Priced by a catalogue, or naming a model, that this process does not know: one of the two sides is not deployed yet."""

    def __init__(self) -> None:
        super().__init__("The catalogue of models is being changed. Try again.")


class AccountNotOpen(ServiceUnavailable):
    """The organization is so new that its account has not arrived from identity's outbox."""

    def __init__(self) -> None:
        super().__init__("The organization's account is being opened. Try again.")
