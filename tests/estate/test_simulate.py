"""simulate: policies compared on an estate in a box, as a table, a page, a picture and JSON."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from typer.testing import CliRunner

from estate.bugs import buffered_fact_lost
from evenstock.cli import simulate
from evenstock.cli.app import app
from evenstock.estate.box.charts import causes, frontier
from evenstock.estate.box.comparison import Cause, Comparison, Estimate, compare, estimate
from evenstock.estate.box.estates import ESTATES
from evenstock.estate.box.page import page
from evenstock.estate.box.policies import POLICIES
from evenstock.estate.box.results import result
from evenstock.estate.box.trials import play_all, trials_of

CORNER = ESTATES["corner"]
WAYS = [POLICIES["hourly"], POLICIES["hub"], POLICIES["hub-safety"]]
ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return compare(CORNER, WAYS, list(play_all(trials_of(CORNER, WAYS, [1, 2, 3]), 1)))


def command(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["simulate", *arguments])
    return done.exit_code, done.stdout, done.stderr


class Outline(HTMLParser):
    """Which elements a page opens and closes, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_folder_gets_the_page_the_picture_and_the_figures_and_says_what_makes_them_again(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "deep" / "report"
    code, shown, said = command(
        "corner", "--policy", "hub", "--seeds", "2", "--out", str(folder), "--processes", "1"
    )
    assert code == 0, said
    assert sorted(path.name for path in folder.iterdir()) == ["frontier.svg", "report.html", "report.json"]
    assert "evenstock simulate corner --policy hub --seeds 2" in (folder / "report.html").read_text()
    figures = json.loads((folder / "report.json").read_text())
    assert figures["seeds"] == [1, 2]
    assert "agreed with the truth" in shown


def test_json_holds_every_figure_that_is_shown() -> None:
    code, shown, _ = command("corner", "--policy", "hub", "--seeds", "2", "--json", "--processes", "1")
    assert code == 0
    figures = json.loads(shown)
    (hub,) = figures["policies"]
    again = [result(CORNER, seed, POLICIES["hub"]) for seed in (1, 2)]
    assert hub["oversold"]["mean"] == pytest.approx(sum(each.oversold_rate for each in again) / 2)
    assert [each["trace"] for each in figures["results"]] == [each.trace for each in again]


def test_a_list_tells_what_there_is_to_play() -> None:
    code, shown, _ = command("--json")
    assert code == 0
    assert json.loads(shown)["policies"].keys() == POLICIES.keys()
    assert "300 stores" in command()[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("crner",), "There is no estate 'crner'. Did you mean corner?"),
        (("corner", "--policy", "hubb"), "There is no policy 'hubb'. Did you mean hub?"),
        (("zzz",), "There is: corner"),
        (("corner", "--out", "/dev/null/x"), "no folder can be made there"),
    ],
)
def test_a_wrong_word_is_met_with_the_nearest_right_one_before_anything_is_played(
    arguments: tuple[str, ...], words: str
) -> None:
    code, shown, said = command(*arguments)
    assert code == 2
    assert words in said
    assert shown == ""


# The documentation


HOW_TO = (ROOT / "docs" / "how-to" / "try-a-policy.md").read_text(encoding="utf-8")
CALLS = re.findall(r"^\$ evenstock simulate ?([^#\n]*)", HOW_TO, re.MULTILINE)


@pytest.mark.parametrize("call", CALLS)
def test_what_the_how_to_types_is_understood(call: str, tmp_path: Path) -> None:
    """Cut down to one short day of one small estate, it runs."""
    (tmp_path / "sales.csv").write_text(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "1,A,X,2,12-01-2010 08:26,1,1,UK\n"
    )
    places = {
        "amazon": "corner",
        "small": "corner",
        "report": str(tmp_path / "report"),
        "sales.csv": str(tmp_path / "sales.csv"),
        "sales.toml": str(ROOT / "examples" / "online-retail" / "sales.toml"),
    }
    words = [places.get(word, word) for word in call.split()]
    short = ("--seeds", "1", "--hours", "0.5", "--processes", "1") if words else ()
    code, _, said = command(*words, *short)
    assert code == 0, said


def test_the_readme_says_of_its_picture_what_the_picture_says() -> None:
    picture = ET.parse(ROOT / "docs" / "pictures" / "policies.svg")  # noqa: S314 - our own
    words = (ROOT / "README.md").read_text(encoding="utf-8")
    (told,) = re.findall(r'policies\.svg" alt="([^"]+)"', words)
    points = re.findall(
        r"([\d.]+) oversold, ([\d.]+) lost",
        " ".join(title.text or "" for title in picture.iter(f"{SVG}title")),
    )
    assert len(points) == len(POLICIES)
    for oversold, lost in points:
        assert oversold in told
        assert lost in told
    assert picture.getroot().get("aria-label") == "Oversell against lost sales: amazon, 5 seeds"
    assert "evenstock simulate amazon --seeds 5" in words


# The page


def test_the_page_fetches_nothing_and_holds_every_figure_of_its_charts_in_tables(
    compared: Comparison,
) -> None:
    text = page(compared, "evenstock simulate corner")
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.fetched == []
    assert "script" not in outline.seen
    assert outline.seen.count("table") >= 4
    assert outline.seen.count("caption") == outline.seen.count("table")
    for each in compared.policies:
        assert f"{each.lost.mean:,.1f}" in text
        for cause in (*each.oversold_by, *each.lost_by):
            assert f"{cause.cause}: {cause.detail}" in text
            assert f"{cause.rate:,.2f}" in text


def test_the_page_is_dark_where_the_reader_is(compared: Comparison) -> None:
    text = page(compared, "")
    assert text.count("prefers-color-scheme:dark") >= 2


def test_names_in_a_page_are_text_never_markup(compared: Comparison) -> None:
    hostile = msgspec.structs.replace(compared, estate="<script>alert(1)</script>", words='"><img src=x>')
    text = page(hostile, "<b>")
    assert "<script" not in text
    assert "<img" not in text


def test_a_chart_is_a_picture_with_words_for_who_cannot_see_it(compared: Comparison) -> None:
    picture = ET.fromstring(frontier(compared))  # noqa: S314 - our own
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == "Oversell against lost sales: corner, 3 seeds"
    told = [title.text for title in picture.iter(f"{SVG}title")]
    assert len(told) == len(WAYS)
    assert all(words is not None and "oversold" in words for words in told)


def test_names_of_policies_do_not_lie_over_each_other_though_their_points_do(compared: Comparison) -> None:
    same = [msgspec.structs.replace(compared.policies[0], policy=f"policy-{nth}") for nth in range(5)]
    picture = ET.fromstring(frontier(msgspec.structs.replace(compared, policies=tuple(same))))  # noqa: S314
    at = [
        (float(text.attrib["x"]), float(text.attrib["y"]))
        for text in picture.iter(f"{SVG}text")
        if re.fullmatch(r"policy-\d", text.text or "")
    ]
    assert len(at) == 5
    for nth, (x, y) in enumerate(at):
        for left, top in at[nth + 1 :]:
            assert abs(top - y) >= 16 or abs(left - x) >= 60


@pytest.mark.parametrize(("lost", "oversold"), [(0.0, 0.0), (0.0, 100.0), (100.0, 0.0), (100.0, 100.0)])
def test_names_find_room_in_every_corner(compared: Comparison, lost: float, oversold: float) -> None:
    """Twelve policies that do the same, beside one in the corner across, which sets the axes."""
    far = Estimate(100.0), Estimate(100.0)
    here = Estimate(oversold), Estimate(lost)
    corners = [(*far, "far")] + [(*here, f"p{nth}") for nth in range(12)]
    same = [
        msgspec.structs.replace(compared.policies[0], oversold=over, lost=gone, policy=name)
        for over, gone, name in corners
    ]
    picture = ET.fromstring(frontier(msgspec.structs.replace(compared, policies=tuple(same))))  # noqa: S314
    names = [text for text in picture.iter(f"{SVG}text") if re.fullmatch(r"p\d+|far", text.text or "")]
    assert len(names) == 13
    assert all(0 < float(name.attrib["x"]) < 740 and 0 < float(name.attrib["y"]) < 440 for name in names)


def test_a_bar_is_as_long_as_its_causes_together() -> None:
    parts = [Cause("web", "stale channel", "batches", 6.0), Cause("web", "hub", "unexplained", 2.0)]
    picture = ET.fromstring(causes("Oversold", [("one", parts), ("none", [])]))  # noqa: S314
    bars = {
        group.find(f"{SVG}title").text: float(group.find(f"{SVG}rect").attrib["width"])  # type: ignore[union-attr]
        for group in picture.iter(f"{SVG}g")
        if group.find(f"{SVG}title") is not None
    }
    assert bars.keys() == {"one, stale channel: 6.0", "one, hub: 2.0"}
    long, short = bars.values()
    assert long == pytest.approx(3 * short, rel=0.01)


# The figures


def test_an_interval_is_that_of_student() -> None:
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.low) == (2.0, 0.0)
    assert found.high == pytest.approx(2 + 4.303 / 3**0.5, rel=1e-3)
    assert estimate([5.0]).high is None


def test_causes_add_up_to_the_rate_and_changes_are_against_the_first_policy(compared: Comparison) -> None:
    first = compared.policies[0]
    assert (first.oversold_change.mean, first.lost_change.high) == (0.0, 0.0)
    for each in compared.policies:
        assert sum(cause.rate for cause in each.lost_by) == pytest.approx(each.lost.mean)
        assert sum(cause.rate for cause in each.oversold_by) == pytest.approx(each.oversold.mean)
        assert each.lost_change.mean == pytest.approx(each.lost.mean - first.lost.mean)


def test_what_the_referee_finds_is_told_as_the_smallest_story_that_still_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = buffered_fact_lost()
    hub = POLICIES["hub"]
    found = compare(CORNER, [hub], [result(CORNER, 0, hub, parts)])
    assert found.findings
    assert "■ seed 0, hub: lost:" in page(found, "")
    simulate.explain(CORNER, found, parts)
    said = capsys.readouterr().err
    assert "✕ seed 0, hub: lost:" in said
    assert ", faults: 1:" in said
    assert "outage begins" in said
