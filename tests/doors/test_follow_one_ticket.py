"""The page "Follow one ticket": its commands work, and what it shows is what they say."""

import re

from doors.door import REPOSITORY, Door, evenstock, event, line
from evenstock.postgres.database import Database

PAGE = (REPOSITORY / "docs" / "how-to" / "follow-one-ticket.md").read_text(encoding="utf-8")


async def test_the_page_does_what_it_says(door: Door, database: Database) -> None:
    await door.know("TSH-BLK-M")
    sale = event(
        "T-0107-88213", "SaleRecorded", {"location": "0107", "lines": [line("TSH-BLK-M")]}, source="pos-nl"
    )
    await door.report(sale)
    command, *addresses = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)
    program, *arguments = command.split()
    assert program == "evenstock"
    code, out, _ = await evenstock(*arguments, "--database-url", database.url, "--schema", database.schema)
    assert code == 0
    shown = [
        re.sub(r"^\W*[\d:. -]+", "", text)
        for text in re.findall(r"```text\n(.+?)```", PAGE, re.DOTALL)[0].splitlines()
    ]
    for said in out.splitlines()[1:-1]:
        told = re.sub(r"^\W*[\d:. -]+", "", said)
        alike = [re.sub(r", \d+ \w+ after it happened| known \d+ \w+ later", "", words) for words in shown]
        assert re.sub(r", \d+ \w+ after it happened", "", told) in alike, told
    paths = [re.fullmatch(r'hub "localhost:8080(.+)"', address)[1] for address in addresses]  # type: ignore[index]
    assert (await door.get(paths[0])).status == 200
    assert (await door.get(paths[1])).problem[:2] == (404, "trace.not_found")
