import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["signup", "crm", "marketing"])
def test_an_example_without_a_key_says_in_one_line_where_to_get_one(tmp_path: Path, name: str) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("VOUCHPOST_")}

    ended = subprocess.run(
        [sys.executable, "-m", f"consumers.examples.{name}"],
        env=env | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "VOUCHPOST_API_KEY" in line
    assert "vouchpost up" in line
