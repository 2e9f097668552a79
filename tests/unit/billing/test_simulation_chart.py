"""The drawing of a comparison is whole and legible whatever is compared."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import msgspec
import pytest

from services.billing.models import Money
from services.billing.simulation.assumptions import Assumptions, Mix, PaymentBehaviour
from services.billing.simulation.chart import draw
from services.billing.simulation.choices import parse_schedules
from services.billing.simulation.fleet import draw_fleet
from services.billing.simulation.life import live
from services.billing.simulation.report import Comparison, add_up

SVG = "{http://www.w3.org/2000/svg}"
ALIKE = tuple(f"{name}=1,3,7:30" for name in "abcdef")
DIFFERENT = ("one=1,3,7,14,30:30", "two=1:3", "three=:1", "four=5,10:200", "five=2:9")


def drawn(texts: tuple[str, ...], mix: Mix, price: Money) -> ET.Element:
    fleet = draw_fleet(Assumptions(mix=mix), 30, 2, price, random.Random(3).random)
    schedules = parse_schedules(texts)
    comparison = Comparison(
        customers=30,
        months=2,
        seed=3,
        price=price,
        mix=mix,
        schedules=tuple(
            add_up(each, (live(one, fleet, each.schedule) for one in fleet.customers), price)
            for each in schedules
        ),
    )
    return ET.fromstring(draw(comparison))


@pytest.mark.parametrize("texts", [ALIKE, ALIKE[:1], DIFFERENT])
@pytest.mark.parametrize("behaviour", list(PaymentBehaviour))
@pytest.mark.parametrize("price", [("EUR", 999), ("JPY", 1), ("KWD", 10**15)])
def test_all_is_on_the_page_and_no_name_covers_another(
    texts: tuple[str, ...], behaviour: PaymentBehaviour, price: tuple[str, int]
) -> None:
    currency, amount = price
    money = Money(amount_minor=amount, currency=currency)
    page = drawn(texts, {behaviour: 100}, money)
    width, height = int(page.attrib["width"]), int(page.attrib["height"])
    for word in page.iter(f"{SVG}text"):
        assert 0 < float(word.attrib["x"]) < width
        assert 0 < float(word.attrib["y"]) < height
    for bar in page.iter(f"{SVG}rect"):
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) < width
        assert float(bar.attrib["y"]) + float(bar.attrib["height"]) < height
    for path in page.iter(f"{SVG}path"):
        for x, y in re.findall(r"([\d.-]+) ([\d.-]+)", path.attrib["d"]):
            assert 0 < float(x) < width
            assert 0 < float(y) < height
    names = [
        word
        for word in page.iter(f"{SVG}text")
        if word.attrib.get("class", "").startswith("strong")
    ]
    assert [word.text for word in names] == [text.partition("=")[0] for text in texts]
    heights = sorted(float(word.attrib["y"]) for word in names)
    assert all(below - above >= 34 for above, below in pairwise(heights))


def test_each_schedule_has_colours_of_its_own_on_light_and_dark_screens() -> None:
    page = drawn(
        ALIKE, {PaymentBehaviour.SHORT_OF_MONEY: 100}, Money(amount_minor=1, currency="EUR")
    )
    [style] = [each.text or "" for each in page.iter(f"{SVG}style")]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    colours: list[str] = []
    for screen in (light, dark):
        for number in range(len(ALIKE)):
            [line] = re.findall(rf"\.line{number} {{ stroke: (#\w+) }}", screen)
            [fill] = re.findall(rf"\.fill{number} {{ fill: (#\w+) }}", screen)
            assert line == fill
            colours.append(line)
    assert len(set(colours)) == 2 * len(ALIKE)


def test_a_comparison_is_read_back_from_its_json() -> None:
    fleet = draw_fleet(
        Assumptions(), 30, 2, Money(amount_minor=5, currency="JPY"), random.Random(3).random
    )
    [named] = parse_schedules(ALIKE[:1])
    told = add_up(named, (live(one, fleet, named.schedule) for one in fleet.customers), fleet.price)
    assert msgspec.json.decode(msgspec.json.encode(told), type=type(told)) == told
