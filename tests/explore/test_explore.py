"""What makes an explorable, and what it refuses; the files that it loads."""

import base64
import hashlib
import json
import re
from pathlib import Path

import altair
import pytest

from linfcourse import explore as module
from linfcourse.explore import Control, explorable, grid, table
from linfcourse.explore.page import LIBRARIES
from linfcourse.explore.panel import SCHEMA

VENDORED = Path(__file__).parents[2] / "book" / "_static" / "vega"
T = Control("t", "turn", (0.0, 0.5, 1.0), 0.5)
WORDS = {"caption": "turn t and see the line rise", "alt": "a line that rises as t grows"}


def line(t):
    return [{"x": [0, 1, 2], "y": [0.0, t, 2 * t]}]


def chart(y="y:Q", name="lines"):
    return altair.Chart(table(name)).mark_line().encode(x="x:Q", y=y)


def make(charts=None, controls=(T,), **words):
    results = grid(controls, lines=line)
    return explorable(charts or chart(), results, controls=controls, **{**WORDS, **words})


def data_of(made):
    return json.loads(re.search(r"^linfcourseExplorable\((.*)\);</script>$", made.html, re.M)[1])


def test_the_page_holds_the_results_for_every_setting():
    tables = data_of(make())["tables"]["lines"]
    assert [row["t"] for row in tables] == [0.0, 0.5, 1.0]
    assert tables[2] == {"t": 1.0, "x": [0, 1, 2], "y": [0.0, 1.0, 2.0]}


def test_rows_are_picked_by_the_controls_and_lists_are_laid_out_before_anything_else():
    (panel,) = data_of(make())["panels"]
    assert panel["transform"] == [{"filter": "datum.t === t"}, {"flatten": ["x", "y"]}]
    assert {"name": "t", "value": 0.5} in panel["params"]


def test_charts_share_a_table_and_a_table_may_depend_on_some_controls_only():
    beta = Control("beta", "β", ("none", "much"), "none")
    results = grid((T, beta), lines=line, level=lambda beta: [{"at": len(beta)}])
    assert results["lines"].turns == ("t",)
    assert len(results["level"].rows) == 2
    level = altair.Chart(table("level")).mark_rule().encode(y="at:Q")
    made = explorable([altair.layer(chart(), level), chart()], results, controls=(T, beta), **WORDS)
    assert len(data_of(made)["panels"]) == 2
    assert made.html.count('class="explorable-panel"') == 2


def test_the_same_content_gives_the_same_output_and_another_one_another_id():
    first, second = make(), make()
    assert first.html == second.html
    ids = [re.search(r'id="(explorable-\w+)"', made.html)[1] for made in (first, make(alt="else"))]
    assert ids[0] != ids[1]
    assert repr(first) == "Explorable(t)"


def test_the_schema_is_that_of_the_library_it_runs_on():
    (panel,) = data_of(make())["panels"]
    assert panel["$schema"] == SCHEMA
    assert SCHEMA.endswith(f"/v{LIBRARIES['vega-lite'][0].split('.')[0]}.json")


def test_every_control_is_native_labelled_and_says_its_value():
    way = Control("way", "kind of <step>", ("sign", "gradient"), "gradient")
    results = grid((T, way), lines=lambda t, way: line(t))
    html = explorable(chart(), results, controls=(T, way), **WORDS).html
    for name, kind in (("t", "input"), ("way", "select")):
        place = re.search(rf'<{kind} id="([\w-]+)" name="{name}"', html)[1]
        assert f'<label for="{place}">' in html
        assert f'<output for="{place}">' in html
    assert "kind of &lt;step&gt;" in html
    assert '<option value="1" selected>gradient</option>' in html


def test_without_javascript_the_words_are_there():
    html = make(alt='a line, "rising"').html
    assert "needs JavaScript. In words: a line, &quot;rising&quot;" in html
    assert 'role="img" aria-label="a line, &quot;rising&quot;"' in html


def test_a_script_cannot_be_closed_from_within():
    results = grid((T,), lines=lambda t: [{"x": 1, "y": t, "name": "</script><!--"}])
    html = explorable(chart(), results, controls=(T,), **WORDS).html
    assert html.count("</script>") == 1
    assert "<!--" not in html


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Control("t", " ", (1, 2), 1), "label of the control 't' is empty"),
        (lambda: Control("t", "turn", (1,), 1), "two or more different"),
        (lambda: Control("t", "turn", (1, 1), 1), "two or more different"),
        (lambda: Control("t", "turn", (1, 2), 3), "start of 't' must be one of"),
        (lambda: Control("t", "turn", (1, 2), 1, ("one",)), "one for each"),
        (lambda: Control("t", "turn", (1.0, float("inf")), 1.0), "must be finite"),
        (lambda: Control("a b", "turn", (1, 2), 1), "must be a Python name"),
        (lambda: grid((T,), lines=lambda s: []), "argument 's', and no control"),
        (lambda: grid((T,), lines=lambda t: []), "lines has no rows"),
        (lambda: grid((T,), lines=lambda t: [{"x": 1}, {"y": 1}]), r"column\(s\) x, y"),
        (lambda: grid((T,), lines=lambda t: [{"x": [1], "y": [1, 2]}]), "not equally long"),
        (lambda: grid((T,), lines=lambda t: [{"x": float("nan")}]), "holds nan"),
        (lambda: make(caption=" "), "caption is empty"),
        (lambda: make(alt=""), "alt is empty"),
        (lambda: make(controls=()), "argument 't', and no control"),
        (lambda: make(controls=(T, Control("s", "s", (1, 2), 1))), "control 's' moves nothing"),
        (lambda: make(chart("loss:Q")), r"column\(s\) loss of 'lines', which has t, x, y"),
        (lambda: make(chart(name="curves")), r"table 'curves', the grid has \['lines'\]"),
        (
            lambda: explorable(
                chart(),
                grid((T,), lines=lambda t: [{"x": [0.1234] * 20_000, "y": [0.5678] * 20_000}]),
                controls=(T,),
                **WORDS,
            ),
            "more than 300,000: take fewer values",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(made, message):
    with pytest.raises(ValueError, match=message):
        made()


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_files_in_the_book_are_those_that_the_cdn_must_serve(name):
    version, integrity = LIBRARIES[name]
    content = (VENDORED / f"{name}.min.js").read_bytes()
    assert integrity == "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode()
    assert f'"{version}"'.encode() in content
    assert (VENDORED / f"LICENSE-{name}").exists()


def test_the_limit_is_that_of_a_page():
    assert module.LIMIT == 300_000


@pytest.mark.browser
def test_outside_of_the_book_vega_comes_from_the_cdn_by_its_hash(tmp_path):
    """Jupyter and Colab: no folder of ours, perhaps a module loader; a wrong file is refused."""
    from tools.page_check import chromium, find_chromium

    path = find_chromium()
    if not path:
        pytest.skip("no Chromium")
    (tmp_path / "page.html").write_text(
        "<!doctype html><meta charset=utf-8><script>function define() { throw new Error('taken') }"
        f"; define.amd = {{}}</script>{make().html}",
        encoding="utf-8",
    )

    def serving(spoiled):
        def serve(route):
            name = route.request.url.split("/")[-1]
            content = (VENDORED / name).read_bytes() + (b"\n" if name == spoiled else b"")
            headers = {"access-control-allow-origin": "*", "content-type": "text/javascript"}
            route.fulfill(body=content, headers=headers)

        return serve

    with chromium(path) as browser:
        for spoiled, state in (("", "drawn"), ("vega-lite.min.js", "failed")):
            page, asked = browser.new_page(), []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.route("https://**/*", serving(spoiled))
            page.goto((tmp_path / "page.html").as_uri())
            page.wait_for_selector(f"[data-state={state}]")
            addresses = [url for url in asked if url.startswith("https://")]
            assert all(url.startswith("https://cdn.jsdelivr.net/npm/vega") for url in addresses)
            assert len(addresses) == (2 if spoiled else 3)
            assert page.evaluate("typeof define.amd") == "object"  # given back
            page.close()
