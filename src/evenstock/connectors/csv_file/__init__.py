"""Files in a folder: of the house, or at an SFTP server. A mapping says what their rows mean."""

from evenstock.connectors.contract import Connector
from evenstock.connectors.csv_file.folder import opened
from evenstock.connectors.csv_file.settings import Settings

connector = Connector(
    name="csv_file",
    summary="Files that another system leaves in a folder: a mapping says what they mean.",
    settings=Settings,
    delivery=lambda settings: settings.delivery,
    shelf=opened,
)
