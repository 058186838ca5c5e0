"""Settings of the inference service, read from the environment."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.inference.clients.presidio import Tier


class Settings(BaseSettings):
    """No default for a secret: a missing one ends the start."""

    model_config = SettingsConfigDict(extra="ignore")

    listen: str = Field(alias="HASP_INFERENCE_LISTEN")
    address: str | None = Field(default=None, alias="HASP_INFERENCE_SELF")
    """Where this process reaches itself, `listen` when absent: it watches its own service's changes like any other."""
    database_url: SecretStr = Field(alias="HASP_INFERENCE_DATABASE_URL")
    tls_dir: Path = Field(alias="HASP_TLS_DIR")
    kek_file: Path = Field(alias="HASP_KEK_FILE")
    catalogue: Path = Field(alias="HASP_CATALOGUE")
    identity_address: str = Field(alias="HASP_IDENTITY_ADDRESS")
    compliance_address: str = Field(alias="HASP_COMPLIANCE_ADDRESS")
    billing_address: str = Field(alias="HASP_BILLING_ADDRESS")
    log_level: str = Field(default="INFO", alias="HASP_LOG_LEVEL")

    anthropic_api_key: SecretStr = Field(alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = Field(default=None, alias="ANTHROPIC_BASE_URL")
    """Any server that speaks the Messages API; the provider's own when absent."""
    upstream_timeout: float = Field(default=600.0, alias="HASP_UPSTREAM_TIMEOUT", gt=0)
    """Seconds for a whole answer that is not streamed."""
    upstream_silence: float = Field(default=120.0, alias="HASP_UPSTREAM_SILENCE", gt=0)
    """Seconds without a byte after which a stream has failed."""
    upstream_tries: int = Field(default=3, alias="HASP_UPSTREAM_TRIES", ge=1, le=10)

    phi_workers: int = Field(default=0, alias="HASP_PHI_WORKERS", ge=0)
    """Scanning processes; 0 is one per core."""
    phi_tier: Tier = Field(default=Tier.STANDARD, alias="HASP_PHI_TIER")
    """`fast`: rules alone; `standard`: and named entities where a sentence gives reason to look; `strict`: in every sentence."""
    phi_timeout: float = Field(default=5.0, alias="HASP_PHI_TIMEOUT", gt=0)
    """Seconds that a scan may take before the request is refused."""


class MigrationSettings(BaseSettings):
    """Of `python -m services.inference migrate`."""

    model_config = SettingsConfigDict(extra="ignore")

    owner_database_url: SecretStr = Field(alias="HASP_INFERENCE_OWNER_DATABASE_URL")
    """As the role hasp_inference_owner."""
