"""Options come before the environment, the environment before defaults; what is wrong is named."""

from pathlib import Path

import pytest

from evenstock.settings import Settings, SettingsWrong, settings


def test_options_come_before_the_environment_before_defaults() -> None:
    environ = {"EVENSTOCK_PORT": "9000", "EVENSTOCK_HOST": "0.0.0.0", "XDG_DATA_HOME": "/x"}  # noqa: S104 - a value
    assert settings({"port": 9001, "host": None}, environ) == Settings(
        data=Path("/x/evenstock"),
        host="0.0.0.0",  # noqa: S104 - a value
        port=9001,
    )


def test_the_data_folder_is_the_users_own() -> None:
    assert settings({}, {}).data == Path.home() / ".local/share/evenstock"
    assert settings({}, {"EVENSTOCK_DATA": "~/here"}).data == Path.home() / "here"


@pytest.mark.parametrize(
    ("options", "environ", "complaint"),
    [
        ({}, {"EVENSTOCK_PROT": "1"}, "Did you mean EVENSTOCK_PORT?"),
        ({}, {"EVENSTOCK_PORT": "many"}, "EVENSTOCK_PORT is 'many': "),
        ({"port": 70000}, {}, "--port is 70000: a port is a number from 0 to 65535"),
        ({"log_level": "loud"}, {}, "--log-level is 'loud': "),
        (
            {},
            {"EVENSTOCK_OUTBOUND_ALLOW": "erp.lan"},
            "EVENSTOCK_OUTBOUND_ALLOW holds 'erp.lan': write host:port",
        ),
        (
            {"outbound_allow": ("http://erp:80",)},
            {},
            "--outbound-allow holds 'http://erp:80': write host:port",
        ),
        ({"database_url": "mysql://x"}, {}, "--database-url is not the URL of a PostgreSQL"),
    ],
)
def test_what_is_wrong_is_named(options: dict[str, object], environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsWrong) as caught:
        settings(options, environ)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://me:s3@cret@db:5432/x", "postgresql://me@/x?host=db&password=s3cret"]
)
def test_a_password_is_never_shown(url: str) -> None:
    shown = settings({"database_url": url}, {}).masked()["database_url"]
    assert "cret" not in shown
    assert "me" in shown


def test_hosts_of_the_house_are_a_list() -> None:
    environ = {"EVENSTOCK_OUTBOUND_ALLOW": "erp.lan:8443, [::1]:80"}
    assert settings({}, environ).outbound_allow == ("erp.lan:8443", "[::1]:80")
    assert settings({"outbound_allow": ("a:1",)}, environ).outbound_allow == ("a:1",)
