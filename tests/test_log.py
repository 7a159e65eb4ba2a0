"""Off a terminal the log is one JSON object a line, on stderr."""

import json
import subprocess
import sys


def test_an_event_is_one_line_of_json() -> None:
    code = "import structlog; from evenstock.log import configure; configure('info'); log = structlog.get_logger(); log.debug('not.shown'); log.info('batch.applied', events=500)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    (line,) = done.stderr.splitlines()
    assert json.loads(line).items() >= {"event": "batch.applied", "events": 500, "level": "info"}.items()
    assert done.stdout == ""


def test_a_log_that_nobody_reads_any_more_stops_no_work() -> None:
    code = (
        "import sys, os, structlog; from evenstock.log import configure; configure('info'); log = structlog.get_logger();"
        "log.info('first.said'); sys.stderr.flush(); reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 2);"
        "log.warning('nobody.heard'); sys.stderr = open(os.devnull, 'w'); sys.stderr.close(); log.warning('nowhere.said');"
        "print('worked')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    assert done.stdout == "worked\n"
    assert "first.said" in done.stderr
