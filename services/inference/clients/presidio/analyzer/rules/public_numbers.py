"""Numbers that identify no person: of publications, trials, codes, drugs under development, products and pages."""

import re

_REGISTRIES = (
    r"(?i:PMID|PMCID|NCT|DOI|arXiv|ISBN|ISSN|ICD|CPT|LOINC|SNOMED|SCTID|UNII|OMIM|HGNC|MeSH|RXCUI|RxNorm|HCPCS|CVE|EudraCT|EUCT|ISRCTN"
    r"|ACTRN|CTRI|ChiCTR|DRKS|jRCT|PROSPERO|GenBank|RefSeq|UniProt|dbSNP|ClinVar|KEGG|ChEMBL|DrugBank|PubChem|Orphanet|ATCC|EORTC|NSABP"
    r"|RTOG|ECOG|SWOG|CALGB|KEYNOTE|COVID|SARS|NDC|UPC|NRG)|PMC|CAS|DIN|MIM|ATC|CDT|DRG|ISO|IEC|ASTM|RFC(?= ?\d{3,4}(?!\d))|CFR|USC|CMS|UMIN|NTR"
    r"|CRD|IND|NDA|ANDA|BLA|PMA|PDB|COSMIC|GEO|GSE|SRR|SRX|ENS[GTP]|N[MPGCR]_|CID|ORPHA|OID|GOG|COG|AALL|DSM|R01|U01|K23|CD00"
)
# Drugs under development bear a firm's letters: BMS-986165, LY3298176.
_FIRMS = (
    r"ABBV|ABT|AMG|AZD|BAY|BGB|BI|BMN|BMS|CC|CGP|CTL|DS|EPZ|GDC|GS|GSK|INCB|JNJ|JQ|LY|MEDI|MK|MLN|MRTX|NVP|ONO|PF|PRT|RG|RO|SAR|SB"
    r"|SCH|SHR|TAK|TAS|UK|VX|WAY|XL|ZD|KB|UB|LCZ|REGN|ALN|ISIS|E[A-Z]?(?=\d{4}\b)"
)
_REGISTERED = re.compile(rf"(?:{_REGISTRIES})[ \-:.]?\d")
_DRUG = re.compile(rf"(?:{_FIRMS})-?\d")
# A code system and a list of its codes up to here.
_CODES_BEFORE = re.compile(
    rf"(?<![A-Za-z])(?:{_REGISTRIES})[Ss]?(?i:[ \-](?:CT|CM|PCS|10|11|9|ID|NO|codes?|ids?|numbers?|concepts?|terms?|ingredient))*"
    r"[\s:#=./]{0,3}(?:[A-Z]{0,3}\d[\d.\-]{1,18}(?:, ?|;? and | or |; ?|/| ))*\Z"
)
_THINGS = (
    r"model|mod|catalog(?:ue)?|cat|part|p/n|product|item|sku|re-?order|figure|fig|table|page|chapter|section|grant|award|version|build"
    r"|release|article|artikel|modell?|chargen|line|row|column|volume|vol"
    r"|issue|bug|commit|pull request|pr|step|question|atomic|mass|gene|taxon(?:omy)?|error|port|ward|bay|suite|floor|theatre|cycle|dose"
    r"|trial registration|trial registry|registry|standard|concept|bed|room|ndc|compound|clone|strain|chromosome|exon|codon|process|job|code"
)
_THING_BEFORE = re.compile(
    rf"(?<![A-Za-z])(?:{_THINGS})[ \-.]{{0,2}}(?:numbers?|nos?|nr|ids?|codes?|ref|nummer)?[ .:#=\-]{{0,4}}(?:is )?\Z",
    re.IGNORECASE,
)
# "femoral component ref 42-5000": the maker's number of a kind of implant.
_CATALOGUED = re.compile(
    r"(?:components?|implants?|stems?|cups?|inserts?|liners?|screws?|plates?|stents?|grafts?|mesh|lens|catheters?|leads?|cages?|rods?|anchors?"
    r"|balloons?|sheaths?|kits?|trays?|knee|prosthes[ie]s|tibial|femoral|model|number \d{4,6};)[^.\n]{0,24}"
    r"(?<![A-Za-z])ref(?:erence)?\.?(?: (?:no\.?|number))?[ :#]{1,3}\Z",
    re.IGNORECASE,
)


def is_public(text: str, start: int, end: int) -> bool:
    """Whether the value names its registry, or stands behind one, or in a list behind one."""
    return bool(_REGISTERED.match(text, start, end) or _CODES_BEFORE.search(text[max(0, start - 100) : start]))


def is_drug(text: str, start: int, end: int) -> bool:
    return _DRUG.match(text, start, end) is not None


def is_numbered_thing(text: str, start: int) -> bool:
    return _THING_BEFORE.search(text[max(0, start - 40) : start]) is not None


def is_catalogued(text: str, start: int) -> bool:
    return _CATALOGUED.search(text[max(0, start - 60) : start]) is not None
