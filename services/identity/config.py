"""Settings, from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Of the serving process. No default for what another machine decides."""

    model_config = SettingsConfigDict(extra="ignore")

    listen: str = Field(validation_alias="HASP_IDENTITY_LISTEN")
    """host:port."""
    database_url: str = Field(validation_alias="HASP_IDENTITY_DATABASE_URL")
    """As the role hasp_identity."""
    compliance_address: str = Field(validation_alias="HASP_COMPLIANCE_ADDRESS")
    billing_address: str = Field(validation_alias="HASP_BILLING_ADDRESS")
    tls_dir: Path = Field(validation_alias="HASP_TLS_DIR")
    token_pepper_file: Path = Field(validation_alias="HASP_TOKEN_PEPPER_FILE")
    """A pepper a line, `version:base64` of at least 32 bytes; the highest version hashes new tokens."""
    kek_file: Path = Field(validation_alias="HASP_KEK_FILE")
    """The key-encryption key, under which kept answers are sealed."""
    log_level: str = Field(default="INFO", validation_alias="HASP_LOG_LEVEL")


class MigrationSettings(BaseSettings):
    """Of `python -m services.identity migrate`."""

    model_config = SettingsConfigDict(extra="ignore")

    owner_database_url: str = Field(validation_alias="HASP_IDENTITY_OWNER_DATABASE_URL")
    """As the role hasp_identity_owner."""
