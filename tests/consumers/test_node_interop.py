"""The npm package `standardwebhooks`, run by node, and the kit: each accepts what the other signs.

Runs where node and npm are, and the registry can be reached; `tests/vectors` holds both sides to the same bytes anyway.
"""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.consumers.deliveries import SECRET, event
from vouchpost import Verifier
from vouchpost.testing import EventFactory

SCRIPT = """
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";
const given = JSON.parse(readFileSync(0, "utf8"));
const webhook = new Webhook(given.secret);
const answer = { signature: webhook.sign(given.id, new Date(given.at * 1000), given.body) };
for (const headers of given.deliveries) {
  try { webhook.verify(given.body, headers); (answer.verified ??= []).push(true); }
  catch (error) { (answer.verified ??= []).push(false); }
}
console.log(JSON.stringify(answer));
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on this machine")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "standardwebhooks@1.0.0"]
    try:
        subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=60)
    except subprocess.SubprocessError:
        pytest.skip("the npm registry cannot be reached")
    (folder / "ask.mjs").write_text(SCRIPT)
    return folder


def ask(package: Path, **given: Any) -> Any:
    command = ["node", "ask.mjs"]
    answer = subprocess.run(command, cwd=package, input=json.dumps(given), capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def test_node_accepts_what_the_kit_signs_and_nothing_that_was_changed(package: Path) -> None:
    signed = EventFactory(secret=SECRET)(metadata={"name": "Zoë ✓"})
    changed = signed.headers | {"webhook-id": "evt_other"}

    answer = ask(
        package,
        secret=SECRET,
        id=signed.id,
        at=signed.at_s,
        body=signed.body.decode(),
        deliveries=[signed.headers, changed],
    )

    assert answer["verified"] == [True, False]
    assert answer["signature"] == signed.headers["webhook-signature"]


def test_the_kit_accepts_what_node_signs(package: Path) -> None:
    body, now = event(data={"metadata": {"name": "Zoë ✓"}}), int(time.time())

    answer = ask(package, secret=SECRET, id="evt_1", at=now, body=body.decode(), deliveries=[])
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": answer["signature"]}

    assert Verifier(SECRET).verify(headers=headers, body=body).id == "evt_1"
