"""Settings, from the environment."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.compliance.clients import receivers, time_stamping


class Settings(BaseSettings):
    """Of the serving process. No default for what another machine decides."""

    model_config = SettingsConfigDict(extra="ignore")

    listen: str = Field(validation_alias="HASP_COMPLIANCE_LISTEN")
    """host:port."""
    database_url: str = Field(validation_alias="HASP_COMPLIANCE_DATABASE_URL")
    """As the role hasp_compliance."""
    identity_address: str = Field(validation_alias="HASP_IDENTITY_ADDRESS")
    tls_dir: Path = Field(validation_alias="HASP_TLS_DIR")
    kek_file: Path = Field(validation_alias="HASP_KEK_FILE")
    """The key-encryption key, under which kept answers are sealed."""
    audit_key_file: Path = Field(validation_alias="HASP_AUDIT_KEY_FILE")
    """Ed25519, PKCS #8 PEM: signs the audit log's checkpoints and exports."""
    audit_endorsements_file: Path | None = Field(default=None, validation_alias="HASP_AUDIT_ENDORSEMENTS_FILE")
    """What the audit key's predecessors signed for their successors, as `hasp audit rotate-key` writes it."""
    deployment: str = Field(
        default="hasp.local", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,98}$", validation_alias="HASP_DEPLOYMENT"
    )
    """Names this deployment in what it signs. Never change it: the names of its keys are made of it."""
    baa_key_file: Path = Field(validation_alias="HASP_BAA_KEY_FILE")
    """RSA or EC, PKCS #8 PEM: signs the documents of agreements."""
    baa_certificate_file: Path = Field(validation_alias="HASP_BAA_CERTIFICATE_FILE")
    """Of that key, PEM, then the certificates above it, each the issuer of the one before."""
    baa_signatory: str = Field(default="The operator of this Hasp deployment", validation_alias="HASP_BAA_SIGNATORY")
    """Who counter-signs Business Associate Agreements."""
    tsa_url: str | None = Field(default=None, validation_alias="HASP_TSA_URL")
    """The time-stamping authority (RFC 3161) that is asked about audit exports; none without it."""
    tsa_certificate_file: Path | None = Field(default=None, validation_alias="HASP_TSA_CERTIFICATE_FILE")
    """Roots to which the authority's certificate must chain, PEM; without them its signature is not checked before it is passed on."""
    webhook_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(), validation_alias="HASP_WEBHOOK_ALLOWED_NETWORKS"
    )
    """Networks that webhooks may be sent to although they are not public (CIDR, separated by commas): receivers inside of a hospital."""
    webhook_ca_file: Path | None = Field(default=None, validation_alias="HASP_WEBHOOK_CA_FILE")
    """PEM: authorities that may certify receivers beside the public ones."""
    log_level: str = Field(default="INFO", validation_alias="HASP_LOG_LEVEL")

    @field_validator("tsa_url", "tsa_certificate_file", "webhook_ca_file", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        # docker-compose passes what is not set as nothing.
        return value or None

    @field_validator("tsa_url")
    @classmethod
    def _an_authority(cls, value: str | None) -> str | None:
        return None if value is None else time_stamping.check_url(value)

    @field_validator("tsa_certificate_file")
    @classmethod
    def _its_roots(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None:
            return None
        if info.data.get("tsa_url", "") is None:
            raise ValueError("a certificate without HASP_TSA_URL")
        try:
            time_stamping.load_roots(value)
        except OSError as failure:
            raise ValueError("the file cannot be read") from failure
        return value

    @field_validator("webhook_allowed_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("webhook_ca_file")
    @classmethod
    def _their_authorities(cls, value: Path | None) -> Path | None:
        try:
            receivers.trust(value)
        except OSError as failure:  # an SSLError is one
            raise ValueError("the file cannot be read as certificates") from failure
        return value


class MigrationSettings(BaseSettings):
    """Of `python -m services.compliance migrate`."""

    model_config = SettingsConfigDict(extra="ignore")

    owner_database_url: str = Field(validation_alias="HASP_COMPLIANCE_OWNER_DATABASE_URL")
    """As the role hasp_compliance_owner."""
