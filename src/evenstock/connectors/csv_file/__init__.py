"""Files in a folder: of the house, or at an SFTP server. A mapping says what their rows mean."""

from contextlib import AbstractAsyncContextManager

from evenstock.connectors.contract import Connector, Shelf, World
from evenstock.connectors.csv_file import folder, sftp
from evenstock.connectors.csv_file.settings import Settings


def shelf(settings: Settings, world: World) -> AbstractAsyncContextManager[Shelf]:
    """Where the files are left: at a server, or in a folder of this machine."""
    if settings.sftp is not None:
        return sftp.opened(settings, settings.sftp, world)
    return folder.opened(settings, world)


connector = Connector(
    name="csv_file",
    summary="Files that another system leaves in a folder: a mapping says what they mean.",
    settings=Settings,
    delivery=lambda settings: settings.delivery,
    shelf=shelf,
)
