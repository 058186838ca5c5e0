"""Settings, from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Of the serving process. No default for what another machine decides."""

    model_config = SettingsConfigDict(extra="ignore")

    listen: str = Field(validation_alias="HASP_BILLING_LISTEN")
    """host:port."""
    database_url: str = Field(validation_alias="HASP_BILLING_DATABASE_URL")
    """As the role hasp_billing."""
    identity_address: str = Field(validation_alias="HASP_IDENTITY_ADDRESS")
    compliance_address: str = Field(validation_alias="HASP_COMPLIANCE_ADDRESS")
    tls_dir: Path = Field(validation_alias="HASP_TLS_DIR")
    kek_file: Path = Field(validation_alias="HASP_KEK_FILE")
    """The key-encryption key, under which kept answers are sealed."""
    catalogue: Path = Field(validation_alias="HASP_CATALOGUE")
    """Models, prices and plans: the file that inference is given too."""
    log_level: str = Field(default="INFO", validation_alias="HASP_LOG_LEVEL")


class MigrationSettings(BaseSettings):
    """Of `python -m services.billing migrate`."""

    model_config = SettingsConfigDict(extra="ignore")

    owner_database_url: str = Field(validation_alias="HASP_BILLING_OWNER_DATABASE_URL")
    """As the role hasp_billing_owner."""
