"""Any ERP that takes stock documents over REST: postings go into its books, and its stock can be read."""

from evenstock.connectors.contract import Connector
from evenstock.connectors.erp_rest.post import post
from evenstock.connectors.erp_rest.settings import Settings
from evenstock.connectors.erp_rest.stock import pages

connector = Connector(
    name="erp_rest",
    summary="An ERP over REST: stock documents go into its books, and its stock is read.",
    settings=Settings,
    post=post,
    snapshot=pages,
)
