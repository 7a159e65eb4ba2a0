"""A byte of the database changes on the disk (fault F9): it is said, and no number is made of it."""

from pathlib import Path

from doors.door import evenstock, opened, receipt
from evenstock.postgres.database import Database
from evenstock.postgres.embedded import joined

FILE = """
select pg_relation_filepath(oid) from pg_class
where relname like 'movements%' and relkind = 'r' and pg_relation_size(oid) > 0 and relnamespace = 'evenstock'::regnamespace
"""


async def test_a_byte_that_changed_on_the_disk_is_said_and_no_answer_is_made_of_it(data: Path) -> None:
    with joined(data, print) as url:
        database = Database(url)
        code, _, said = await evenstock("migrate", "--data", str(data))
        assert code == 0, said
        async with opened(database) as door:
            await door.know("A")
            assert (await door.report(receipt("R-1", "A", 9))).outcomes == ["applied"]
        db = await database.connect(owner=True)
        file = data / "postgres" / await db.fetchval(FILE)
        await db.close()
    page = bytearray(file.read_bytes())
    page[8000] ^= 1
    file.write_bytes(page)
    code, out, said = await evenstock("verify", "--data", str(data))
    assert (code, out) == (7, "")
    assert "The database is damaged: invalid page in block 0" in said
    assert "restore the newest backup" in said
