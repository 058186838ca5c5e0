"""Check digits: of cards and accounts, of American and of other countries' numbers of people.

Each check gets the whole text and the span of the value, and answers whether its digits agree.
"""

from collections.abc import Callable


def luhn(text: str, start: int, end: int) -> bool:
    digits = [int(c) for c in text[start:end] if c.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return len(digits) >= 12 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def npi(text: str, start: int, end: int) -> bool:
    """Luhn over the digits behind the prefix 80840 (45 CFR 162.406)."""
    value = "80840" + text[start:end]
    return luhn(value, 0, len(value))


def dea(text: str, start: int, end: int) -> bool:
    digits = [int(c) for c in text[start + 2 : end]]
    return (digits[0] + digits[2] + digits[4] + 2 * (digits[1] + digits[3] + digits[5])) % 10 == digits[6]


def vin(text: str, start: int, end: int) -> bool:
    """ISO 3779 with the North American check digit, or a number that mixes letters and digits as a VIN does."""
    value = text[start:end].upper()
    letters = sum(c.isalpha() for c in value)
    if not 2 <= letters <= 14:
        return False
    numbers = dict(
        zip(
            "ABCDEFGHJKLMNPRSTUVWXYZ",
            (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9),
            strict=True,
        )
    )
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    total = sum(weight * (int(c) if c.isdigit() else numbers[c]) for weight, c in zip(weights, value, strict=True))
    return "0123456789X"[total % 11] == value[8] or value[-5:].isdigit()


def iban(text: str, start: int, end: int) -> bool:
    """ISO 13616, or at least the length and the digits of one: a mistyped IBAN still is somebody's."""
    value = text[start:end].replace(" ", "")
    return 15 <= len(value) <= 34 and sum(c.isdigit() for c in value) >= 8


def cpf(text: str, start: int, end: int) -> bool:
    """Brazil, two check digits modulo 11."""
    digits = _digits(text, start, end)
    return len(set(digits)) > 1 and all(
        sum(digit * weight for digit, weight in zip(digits, range(last + 1, 1, -1), strict=False)) * 10 % 11 % 10
        == digits[last]
        for last in (9, 10)
    )


def dni(text: str, start: int, end: int) -> bool:
    """Spain: a letter for the number modulo 23; X, Y and Z stand for 0, 1 and 2 in foreigners' numbers."""
    value = text[start:end].replace("-", "").replace(" ", "").replace(".", "").upper()
    number = value[:-1].translate(str.maketrans("XYZ", "012"))
    return number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == value[-1]


def personnummer(text: str, start: int, end: int) -> bool:
    """Sweden: a date of birth and Luhn over the last ten digits."""
    digits = _digits(text, start, end)[-10:]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[::2])
    return _is_day(digits[4:6], digits[2:4]) and (sum(doubled) + sum(digits[1::2])) % 10 == 0


def day_first(text: str, start: int, end: int) -> bool:
    """Nordic numbers that begin with a day, a month and a year; Norway adds 40 to some of them."""
    digits = _digits(text, start, end)
    return _is_day([digits[0] % 4, digits[1]], [digits[2] % 4, digits[3]])


def year_first(text: str, start: int, end: int) -> bool:
    """Numbers that begin with a year, a month and a day: Malaysia, Korea, Czechia (women's months are 50 higher)."""
    digits = _digits(text, start, end)
    return _is_day(digits[4:6], [digits[2] % 5, digits[3]])


def nir(text: str, start: int, end: int) -> bool:
    """France: a key that makes 97; Corsica's departments count as 19 and 18."""
    value = text[start:end].replace(" ", "").upper().replace("2A", "19").replace("2B", "18")
    return value.isdigit() and len(value) == 15 and (97 - int(value[:13]) % 97) == int(value[13:])


def nhs(text: str, start: int, end: int) -> bool:
    """Britain: modulo 11."""
    digits = _digits(text, start, end)
    total = sum(digit * weight for digit, weight in zip(digits[:9], range(10, 1, -1), strict=True))
    return (11 - total % 11) % 11 == digits[9]


def verhoeff(text: str, start: int, end: int) -> bool:
    """India's Aadhaar."""
    check = 0
    for place, digit in enumerate(reversed(_digits(text, start, end))):
        permuted = digit
        for _ in range(place % 8):
            permuted = _PERMUTED[permuted]
        check = _dihedral(check, permuted)
    return check == 0


_PERMUTED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _dihedral(left: int, right: int) -> int:
    """The product in the symmetries of a pentagon."""
    if left < 5:
        return (left + right) % 5 + (right // 5) * 5
    return (left - right) % 5 + 5 * (right < 5)


def _digits(text: str, start: int, end: int) -> list[int]:
    return [int(character) for character in text[start:end] if character.isdigit()]


def _is_day(day: list[int], month: list[int]) -> bool:
    return 1 <= 10 * day[0] + day[1] <= 31 and 1 <= 10 * month[0] + month[1] <= 12


CHECK_DIGITS: dict[str, Callable[[str, int, int], bool]] = {
    check.__name__: check
    for check in (
        luhn,
        npi,
        dea,
        vin,
        iban,
        cpf,
        dni,
        personnummer,
        day_first,
        year_first,
        nir,
        nhs,
        verhoeff,
    )
}
