"""Takes obvious personal data out of a text before it is stored.

Conservative on purpose: only what has a shape of its own is found (mail addresses, phone numbers,
IBANs, payment cards), and only where it can hardly be anything else. Names, addresses and dates of
birth have no such shape and stay. What must not be stored at all must not be remembered.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.])")
_PHONE = re.compile(
    r"""
    (?<![\w.,/+-])
    (?:
        (?:\+|00)[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,6}   # +49 170 1234567, 0044 20 7946 0958
      | \(\d{2,5}\)[ ]?\d{3,4}[ -]?\d{3,5}                   # (555) 123-4567
      | \d{3}-\d{3}-\d{4}                                    # 555-123-4567
      | 0\d{2,4}[ /-]\d{5,9}                                 # 0170 1234567, 030/12345678
    )
    (?![\w])
    """,
    re.VERBOSE,
)
_MIN_PHONE_DIGITS = 8


def scrub(text: str) -> str:
    """Return the text with mail addresses, IBANs, payment cards and phone numbers replaced."""
    text = _EMAIL.sub("[email]", text)
    text = _replace(_IBAN, "[iban]", _is_iban, text)
    text = _replace(_CARD, "[card]", _is_card, text)
    return _replace(_PHONE, "[phone]", lambda found: len(_digits(found)) >= _MIN_PHONE_DIGITS, text)


def _replace(pattern: re.Pattern[str], name: str, is_one: Callable[[str], bool], text: str) -> str:
    return pattern.sub(lambda match: name if is_one(match.group()) else match.group(), text)


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))


def _is_iban(text: str) -> bool:
    """Check the two digits behind the country: ISO 13616, ISO 7064 MOD 97-10."""
    compact = text.replace(" ", "")
    moved = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_card(text: str) -> bool:
    """Check the last digit: the Luhn algorithm of ISO/IEC 7812-1."""
    total = 0
    for index, digit in enumerate(reversed(_digits(text))):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
