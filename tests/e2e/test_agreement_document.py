"""What a customer's lawyer does: download the signed agreement over the edge, and judge its signature with what the operator published."""

import hashlib
import io
import subprocess

from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext
from pypdf import PdfReader

from tests.e2e import agents
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.envelope import check
from tests.e2e.test_audit import hasp


def path_of(acceptance: dict[str, str]) -> str:
    return f"/v1/compliance/baa/acceptances/{acceptance['id']}/download"


def test_the_signed_agreement_is_downloaded_and_judged(clinic: Clinic):
    [acceptance] = clinic.get("/v1/compliance/baa/acceptances")
    curl = ["curl", "--silent", "--show-error", "--fail", "--compressed", "--dump-header", "-"]
    told = subprocess.run(
        [*curl, "--header", f"Authorization: Bearer {clinic.key}", f"{clinic.suite.base_url}{path_of(acceptance)}"],
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    head, _, pdf = told.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert headers["content-type"] == "application/pdf"
    name = f"baa-{acceptance['template_version']}-{acceptance['id']}.pdf"
    assert headers["content-disposition"] == f'attachment; filename="{name}"'.lower()
    assert hashlib.sha256(pdf).hexdigest() == acceptance["pdf_sha256"]
    assert clinic.http.get(path_of(acceptance)).content == pdf
    wait_until(lambda: clinic.audit(action="baa.signed") != [])
    [entry] = clinic.audit(action="baa.signed")
    assert entry["metadata"]["pdf_sha256"] == acceptance["pdf_sha256"]

    printed = hasp("baa", "certificate", "--pem", HASP_STATE_DIR=str(clinic.suite.state))
    assert printed.returncode == 0, printed.stderr
    *_, (_, _, root) = pem.unarmor(printed.stdout.encode(), multiple=True)
    [signature] = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    trusted = ValidationContext(trust_roots=[asn1_x509.Certificate.load(root)], allow_fetching=False)
    status = validate_pdf_signature(signature, trusted)
    assert status.bottom_line
    assert status.coverage is SignatureCoverageLevel.ENTIRE_FILE
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]
    assert "164.504(e)" in "".join(pages)
    signed = (acceptance["signer_name"], acceptance["template_sha256"])
    for said in (*signed, clinic.name, clinic.org_id, f"of {len(pages)}"):
        assert said in pages[-1]


def test_it_is_for_the_organization_and_its_people_alone(clinic: Clinic, shared_clinic: Clinic):
    [acceptance] = clinic.get("/v1/compliance/baa/acceptances")
    check(shared_clinic.http.get(path_of(acceptance)), 404, "RESOURCE_NOT_FOUND")
    with clinic.http_with(agents.equip(clinic).token) as agent:
        check(agent.get(path_of(acceptance)), 403, "AGENT_NOT_PERMITTED")
