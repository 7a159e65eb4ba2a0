"""serve as an operator's service manager runs it."""

import signal
import subprocess
import sys
from pathlib import Path


def test_told_to_end_by_sigterm_the_hub_takes_its_database_with_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "evenstock", "serve", "--data", str(data), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        assert any(line.startswith("listening on ") for line in said)
        assert (data / "postgres/postmaster.pid").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not (data / "postgres/postmaster.pid").exists()
    assert not Path((data / "socket").read_text(encoding="utf-8")).exists()
