"""Flower's own programs on this computer: a SuperLink with TLS, and two nodes under policies, for two rounds."""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from safetensors.numpy import load_file
from wasmgrad.federated import Policy, federation_of, run_rounds
from wasmgrad.federated._grid import LocalGrid
from wasmgrad.federated._node import flower_program, quiet_environment

from ..training.torchrun import free_port
from .nodes import Small, scripted, write_rows

POLICY = """
guests = ["*"]
models = ["*"]
clip_norm = 100.0
threads = 1
directories = {{ "/data" = "{data}" }}
"""
INTRUDER = """
import pathlib
pathlib.Path({mark!r}).write_text("ran")
from wasmgrad.federated import client_app
app = client_app()
"""
PATIENCE = 240  # seconds that two rounds may take on a machine with other work


def write_certificates(folder: Path) -> None:
    """An authority, and a server of this computer that it vouches for."""
    now = datetime.datetime.now(datetime.UTC)

    def certificate(
        name: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey
    ) -> bytes:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        built = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
                ),
                critical=False,
            )
        )
        return built.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(certificate("authority", "authority", authority, authority))
    (folder / "server.pem").write_bytes(certificate("localhost", "authority", server, authority))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "server.key").write_bytes(server.private_bytes(serialization.Encoding.PEM, *private))


def started_by(run: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"TEST_RUN={run}".encode() in (entry / "environ").read_bytes().split(
                b"\0"
            ):
                yield int(entry.name)
        except OSError:
            continue


@contextmanager
def background(*command: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, process_group=0)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.mark.long
def test_two_nodes_behind_tls_train_what_one_process_trains(
    tmp_path: Path, build_c_guest: Callable[[str], Path]
) -> None:
    torch.manual_seed(1)
    (tmp_path / "model.pt").write_bytes(scripted(Small()))
    for node in (1, 2):
        data = write_rows(tmp_path / f"node{node}", seed=node, rows=64 * node)
        (tmp_path / f"policy{node}.toml").write_text(POLICY.format(data=data))
    project, output, mark = tmp_path / "rows", tmp_path / "out.safetensors", tmp_path / "mark"
    new = ("--guest", str(build_c_guest("task")), "--model", str(tmp_path / "model.pt"), "--args", "fit")
    wasmgrad = (sys.executable, "-m", "wasmgrad", "federated")
    subprocess.run(
        [*wasmgrad, "new", str(project), *new, "--data", str(tmp_path)], check=True, capture_output=True
    )
    # What a server's app brings besides: it would run on a plain SuperNode.
    (project / "rows" / "client_app.py").write_text(INTRUDER.format(mark=str(mark)))

    write_certificates(tmp_path)
    run, port = uuid.uuid4().hex, free_port()
    environment = {**quiet_environment(), "FLWR_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    environment |= {"TEST_RUN": run, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (tmp_path / "home").mkdir()
    where = f'address = "127.0.0.1:{port}"\nroot-certificates = "{tmp_path / "ca.pem"}"\n'
    (tmp_path / "home" / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n\n[superlink.here]\n{where}'
    )
    tls = [
        f"--ssl-{kind}={tmp_path / name}"
        for kind, name in {"certfile": "server.pem", "keyfile": "server.key", "ca-certfile": "ca.pem"}.items()
    ]
    rounds = f'rounds=2 nodes=2 output="{output}" checkpoints=""'
    try:
        with ExitStack() as stack:

            def start(log: str, *command: str) -> None:
                stack.enter_context(background(*command, environment=environment, log=tmp_path / log))

            link = ("--host", "127.0.0.1", "--port", str(port), "--disable-runtime-dependency-installation")
            start("superlink.log", flower_program("flower-superlink"), *tls, *link)
            for node in (1, 2):
                own = ("--host", "127.0.0.1", "--port", str(free_port()), *tls)
                there = ("--superlink", f"127.0.0.1:{port}", "--root-certificates", str(tmp_path / "ca.pem"))
                start(
                    f"node{node}.log", *wasmgrad, "node", str(tmp_path / f"policy{node}.toml"), *there, *own
                )
            deadline = time.monotonic() + PATIENCE
            asked = [flower_program("flwr"), "run", str(project), "here", "--run-config", rounds]
            while subprocess.run(asked, env=environment, capture_output=True).returncode != 0:
                assert time.monotonic() < deadline, logs(tmp_path)
                time.sleep(1)
            while not output.exists():
                assert time.monotonic() < deadline, logs(tmp_path)
                time.sleep(0.2)
    finally:
        for process in started_by(run):
            os.kill(process, signal.SIGKILL)

    config = {
        "guest": project / "guest.wasm",
        "model": tmp_path / "model.pt",
        "args": "fit",
        "rounds": 2,
        "nodes": 2,
    }
    nodes = [Policy.load(tmp_path / f"policy{node}.toml") for node in (1, 2)]
    expected, _ = run_rounds(federation_of({**config, "option.epochs": 1}), LocalGrid(nodes))
    found = load_file(output)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    assert not mark.exists(), "the app's Python ran on a node"


def logs(folder: Path) -> str:
    return "\n".join(
        f"{file.name}:\n{file.read_text(errors='replace')[-4000:]}" for file in folder.glob("*.log")
    )
