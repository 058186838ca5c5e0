"""Write the stubs below protos/gen and the descriptor set that Envoy reads.

python protos/generate.py            write both
python protos/generate.py --check    lint, compare with the baseline, and fail if anything written would change
python protos/generate.py --baseline accept today's contracts as the new baseline; say why in the commit
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
STUBS = PROTOS / "gen"
BASELINE = PROTOS / "baseline.binpb"
DESCRIPTORS = ROOT / "gateway" / "descriptors.pb"
BREAKING = '{"version": "v2", "breaking": {"use": ["WIRE_JSON"], "ignore": ["buf", "google"]}}'
BIN = Path(sys.executable).parent


def sources() -> list[str]:
    return sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "hasp").rglob("*.proto"))


def run(*command: str, cwd: Path = PROTOS) -> None:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    finished = subprocess.run(command, cwd=cwd, env=environment, check=False)
    if finished.returncode:
        sys.exit(f"{Path(command[0]).name} {command[1]} failed with exit code {finished.returncode}")


def protoc(*arguments: str) -> None:
    run(sys.executable, "-m", "grpc_tools.protoc", "-I.", "-Ithird_party", *arguments)


def write(stubs: Path, descriptors: Path) -> None:
    """Generate into `stubs` (emptied first) and `descriptors`.

    google.api and google.rpc come from the installed googleapis-common-protos; buf.validate is generated here, since its own wheel
    carries it for another protobuf runtime only.
    """
    shutil.rmtree(stubs, ignore_errors=True)
    stubs.mkdir(parents=True)
    protoc(
        f"--python_out={stubs}",
        f"--pyi_out={stubs}",
        f"--grpc_python_out={stubs}",
        f"--mypy_grpc_out=quiet,only_async:{stubs}",
        *sources(),
    )
    protoc(f"--python_out={stubs}", f"--pyi_out={stubs}", "buf/validate/validate.proto")
    for folder in [path for path in stubs.rglob("*") if path.is_dir()]:
        (folder / "__init__.py").touch()
    for module in stubs.rglob("*_pb2_grpc.py"):
        if not any(marker in module.read_text() for marker in ("add_", "_Stub")):
            module.unlink()
            module.with_suffix(".pyi").unlink(missing_ok=True)
    # Error details are linked in: Envoy answers a status whose detail type it does not know with an empty body.
    protoc(
        "--include_imports",
        f"--descriptor_set_out={descriptors}",
        *sources(),
        "google/rpc/status.proto",
        "google/rpc/error_details.proto",
    )


def differences(left: Path, right: Path) -> list[str]:
    compared = filecmp.dircmp(left, right, ignore=["__pycache__"])
    found = [f"{left / name}" for name in (*compared.left_only, *compared.right_only)]
    _, changed, unreadable = filecmp.cmpfiles(left, right, compared.common_files, shallow=False)
    found += [f"{left / name}" for name in (*changed, *unreadable)]
    for name in compared.common_dirs:
        found += differences(left / name, right / name)
    return found


def check() -> None:
    run(str(BIN / "buf"), "lint")
    run(str(BIN / "buf"), "format", "--diff", "--exit-code", "--path", "hasp")
    with tempfile.TemporaryDirectory() as folder:
        image = str(Path(folder) / "image.binpb")  # both modules in one, as the baseline is
        run(str(BIN / "buf"), "build", "--exclude-source-info", "-o", image)
        run(str(BIN / "buf"), "breaking", image, "--against", str(BASELINE), "--config", BREAKING)
        fresh_stubs, fresh_descriptors = Path(folder) / "gen", Path(folder) / "descriptors.pb"
        write(fresh_stubs, fresh_descriptors)
        stale = differences(STUBS, fresh_stubs)
        if fresh_descriptors.read_bytes() != DESCRIPTORS.read_bytes():
            stale.append(str(DESCRIPTORS))
    if stale:
        sys.exit("stale, run `make protos`:\n" + "\n".join(stale))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--baseline", action="store_true")
    chosen = parser.parse_args()
    if chosen.baseline:
        run(str(BIN / "buf"), "build", "--exclude-source-info", "-o", str(BASELINE))
    if chosen.check:
        check()
    elif not chosen.baseline:
        DESCRIPTORS.parent.mkdir(exist_ok=True)
        write(STUBS, DESCRIPTORS)


if __name__ == "__main__":
    main()
