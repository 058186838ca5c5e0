"""What the guard is held to, and which data sets a target is about."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    full: float
    precision: float | None = None
    untouched: float | None = None


_PROMPTS = Target(0.992, 0.985, 0.92)
_UNSEEN = Target(0.92, 0.90, 0.92)
_WORLD = Target(0.78, 0.90)

GROUPS: dict[str, tuple[tuple[str, ...], Target]] = {
    "clinical text, development": (
        ("asq_phi_dev", "deidgate_seed", "localscrub_templates", "outis_challenge_development"),
        _PROMPTS,
    ),
    "general text, world-wide, development": (("presidio_research",), _WORLD),
    "unseen clinical text, open": (
        (
            *("clinical", "clinical_held", "fresh_clinical", "practice_clinical", "practice2_clinical"),
            *("phi_free", "phi_free_held", "fresh_phi_free", "practice_phi_free", "practice2_phi_free"),
        ),
        _UNSEEN,
    ),
    "unseen world-wide text, open": (
        ("worldwide", "worldwide_held", "fresh_worldwide", "practice_worldwide"),
        _WORLD,
    ),
    "unseen clinical text, final": (("final_clinical", "final_phi_free"), _UNSEEN),
    "unseen world-wide text, final": (("final_worldwide",), _WORLD),
}

# Full-cover recall.
TYPES: dict[str, float] = {
    **dict.fromkeys(("PHONE", "FAX", "EMAIL", "URL", "IP", "SSN"), 0.995),
    **dict.fromkeys(("MRN", "HEALTH_PLAN", "ACCOUNT", "LICENSE"), 0.99),
    **dict.fromkeys(("VEHICLE", "DEVICE", "BIOMETRIC", "PHOTO", "OTHER_ID"), 0.95),
    "DATE": 0.995,
    "AGE90": 0.99,
    "NAME": 0.99,
    "GEO": 0.985,
    "FACILITY": 0.98,
}

# What is timed, at how many characters → milliseconds, at the median and at the 95th percentile.
TIMES: dict[tuple[int, str], tuple[float, float | None]] = {
    (1_000, "engine alone, first seen, CPU"): (7, 14),
    (20_000, "engine alone, first seen, CPU"): (90, None),
    (1_000, "pool, wall, re-sent"): (0.05, None),
}
