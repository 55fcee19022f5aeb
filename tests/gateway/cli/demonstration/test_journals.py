"""What the demo reads is what the subscribers wrote."""

from pathlib import Path

from vouchpost_gateway.cli.demonstration.journals import Journal, Push


def test_a_line_that_is_half_written_waits_for_its_other_half(tmp_path: Path) -> None:
    (tmp_path / "pushes.log").write_text("evt_1 1000\nevt_2 20")

    assert Journal("crm", tmp_path).pushes() == [Push("crm", "evt_1", 1000)]
