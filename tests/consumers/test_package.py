"""What `import vouchpost` gives, what it costs, and what it never touches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vouchpost

SOURCES = Path(vouchpost.__file__).parent


def in_a_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_these_are_the_public_names() -> None:
    assert vouchpost.__all__ == sorted(vouchpost.__all__)
    assert {"Receiver", "Router", "Verifier", "Client", "AsyncClient", "Message", "Outcome"} <= set(vouchpost.__all__)
    assert all(hasattr(vouchpost, name) for name in vouchpost.__all__)
    assert dir(vouchpost) == vouchpost.__all__
    with pytest.raises(AttributeError):
        _ = vouchpost.Webhook


def test_importing_it_takes_at_most_60_ms_and_none_of_the_heavy_things() -> None:
    code = """
import json, sys, time
before = set(sys.modules)
started = time.process_time()
import vouchpost
taken = time.process_time() - started
print(json.dumps([taken, sorted(set(sys.modules) - before)]))
"""
    best = float("inf")
    for _ in range(30):  # a busy machine is no fault of the package: the least is what it needs
        taken, modules = json.loads(in_a_new_process(code))
        best = min(best, taken)
        if best <= 0.060:
            break

    assert best <= 0.060
    assert not {"httpx", "typer", "rich", "asyncio", "ssl", "sqlite3", "vouchpost_gateway"} & set(modules)


def test_receiving_loads_none_of_the_heavy_things_either() -> None:
    code = (
        "import json, sys; from vouchpost import Message, Receiver, Router, Verifier; print(json.dumps([*sys.modules]))"
    )

    modules = set(json.loads(in_a_new_process(code)))

    assert not {"httpx", "typer", "rich", "asyncio", "ssl", "sqlite3", "logging", "vouchpost_gateway"} & modules


def test_a_module_is_there_without_having_been_imported() -> None:
    printed = in_a_new_process("import vouchpost; print(vouchpost.errors.SignatureError is vouchpost.SignatureError)")

    assert printed.strip() == "True"


def test_only_signature_makes_messages() -> None:
    """`message_of` checks no signature, so nothing but `Verifier.verify` may call it."""
    callers = [path.name for path in sorted(SOURCES.rglob("*.py")) if "message_of(" in path.read_text()]

    assert callers == ["message.py", "signature.py"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCES / "py.typed").exists()
