"""mTLS between the processes of the suite.

Every process holds a certificate with the SPIFFE id `spiffe://hasp/<workload>` as URI SAN, signed by the deployment's CA. A folder holds ca.pem,
<workload>.pem and <workload>.key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

TRUST_DOMAIN = "spiffe://hasp/"


@dataclass(frozen=True, slots=True)
class Tls:
    """One workload's certificate, key and CA, PEM."""

    workload: str
    ca: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def from_dir(cls, folder: Path, workload: str) -> Tls:
        """Read the three files. Raises FileNotFoundError: there is no way to run without."""
        return cls(
            workload=workload,
            ca=(folder / "ca.pem").read_bytes(),
            certificate=(folder / f"{workload}.pem").read_bytes(),
            key=(folder / f"{workload}.key").read_bytes(),
        )

    def server_credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], root_certificates=self.ca, require_client_auth=True
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)


def peer_workload(context: grpc.aio.ServicerContext) -> str | None:
    """The workload that the peer's certificate names, None when it names none of this trust domain."""
    for name in context.auth_context().get("x509_subject_alternative_name", ()):
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        if text.startswith(TRUST_DOMAIN):
            return text.removeprefix(TRUST_DOMAIN)
    return None
