"""Trust is in files, by their manifest; a name alone is never trusted."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, Harness

from windvane.core.journal import Decision
from windvane.ports.control_store import Trust, UnknownName, VersionRecord
from windvane.usecases.actions import About
from windvane.usecases.publish_routing import PUBLISH


def trusted_in_table(harness: Harness) -> dict[str, bool]:
    """By version, in the newest table."""
    with harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert harness.queued(PUBLISH)[-1]["seq"] == table.seq
    return {entry.version: entry.trusted for entry in table.models[MODEL].versions}


def trust(
    harness: Harness, version: str, *, model: str = MODEL, by: str = "cli:ada", revoke: bool = False
) -> Decision:
    name = "distrust" if revoke else "trust"
    return harness.act(name, About.VERSION, model=model, version=version, by=by)


def replace_files(harness: Harness, version: str, manifest: str) -> None:
    """The same version's name, over other files."""
    with harness.store.begin() as tx:
        held = tx.version(MODEL, version)
        tx.add_version(
            VersionRecord(
                MODEL, version, held.artifact, manifest, held.layout_id, held.views, held.metrics,
                held.lineage, held.baseline, held.created_at,
            )
        )  # fmt: skip


def test_it_is_the_manifest_that_is_trusted(harness: Harness) -> None:
    trust(harness, "1")
    given = Trust("1" * 8, MODEL, "1", "cli:ada", harness.clock.wall())
    assert trusted_in_table(harness) == {"1": True, "2": False}
    with harness.store.read() as tx:
        assert tx.trusted() == [given]
    (decision,) = harness.decisions("trust")
    assert (decision.model, decision.subject) == (MODEL, "version 1")
    assert decision.facts == {"manifest": "1" * 8}
    assert decision.actor == "cli:ada"
    assert decision.verdict.sentence == "version 1 is trusted to run code"


def test_other_files_under_the_same_name_are_not_trusted(harness: Harness) -> None:
    trust(harness, "1")
    replace_files(harness, "1", "f" * 8)
    trust(harness, "2")  # publishes
    assert trusted_in_table(harness) == {"1": False, "2": True}


def test_the_same_files_under_another_name_are_trusted(harness: Harness) -> None:
    replace_files(harness, "2", "1" * 8)
    trust(harness, "1")
    assert trusted_in_table(harness) == {"1": True, "2": True}


def test_trust_can_be_taken_back_and_given_again(harness: Harness) -> None:
    trust(harness, "1")
    harness.clock.at += 1
    trust(harness, "1", by="cli:bob", revoke=True)
    assert trusted_in_table(harness) == {"1": False, "2": False}
    with harness.store.read() as tx:
        assert tx.trusted() == []
    (decision,) = harness.decisions("distrust")
    assert decision.facts == {"manifest": "1" * 8}
    assert decision.actor == "cli:bob"
    assert decision.verdict.sentence == "version 1 is no longer trusted to run code"
    trust(harness, "1")
    assert trusted_in_table(harness)["1"]
    assert len(harness.decisions("trust")) == 2


@pytest.mark.parametrize(
    ("model", "version", "hint"),
    [(MODEL, "3", "known: 1, 2"), ("dleay", "1", "did you mean 'delay'?"), (MODEL, "10", "'1'")],
)
def test_nothing_unknown_is_trusted(harness: Harness, model: str, version: str, hint: str) -> None:
    with pytest.raises(UnknownName) as raised:
        trust(harness, version, model=model)
    assert hint in raised.value.advice
    assert harness.decisions("trust") == []
    with harness.store.read() as tx:
        assert tx.trusted() == []
