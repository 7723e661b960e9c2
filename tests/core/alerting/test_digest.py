"""The digest as text and as HTML: bounded, escaped, with links where there is a console."""

from __future__ import annotations

from windvane.core.alerting.digest import (
    Digest,
    DigestLine,
    digest_html,
    digest_text,
    digest_title,
    make_section,
)

LINES = (
    DigestLine("late: <script>alert(1)</script>", '/models/a%20b?x="1"', grave=True),
    DigestLine("seats: fine"),
)
FOUND = Digest(
    0.0, 7.0, 2, "ops",
    (make_section("Health", LINES, "All well."), make_section("Labels", (), "None are <late>.")),
)  # fmt: skip


def test_the_text_has_every_section_and_marks_what_is_grave() -> None:
    assert digest_text(FOUND).splitlines() == [
        "HEALTH", "- ! late: <script>alert(1)</script>", "- seats: fine", "", "LABELS",
        "None are <late>.",
    ]  # fmt: skip
    assert "(https://w.example/models/a%20b" in digest_text(FOUND, "https://w.example/")
    assert digest_title(FOUND) == "Weekly digest of ops: 2 models, 1 ask for you"


def test_html_is_escaped_and_fetches_nothing() -> None:
    body = digest_html(FOUND, "https://w.example")
    assert "<script" not in body
    assert "&lt;script&gt;" in body
    assert 'href="https://w.example/models/a%20b?x=&quot;1&quot;"' in body
    assert "<p>None are &lt;late&gt;.</p>" in body
    assert "src=" not in body
    assert "href=" not in digest_html(FOUND), "no console, no links"


def test_a_section_has_a_bound_and_says_what_it_leaves_out() -> None:
    many = make_section("S", [DigestLine(f"l{n}") for n in range(33)], "none")
    assert (len(many.lines), many.lines[0].text, many.more) == (20, "l0", 13)
    whole = Digest(0.0, 1.0, 1, "", (many,))
    assert "- and 13 more" in digest_text(whole)
    assert "<li>and 13 more</li>" in digest_html(whole)
