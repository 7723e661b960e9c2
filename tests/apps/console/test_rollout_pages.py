"""A rollout on the console: guards, stages and evidence, buttons, and rollouts before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from apps.console.visitors import World, run

from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.rollout_pages import evidence_chart
from windvane.core.rollout import GuardVerdict, Stage
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import Deployment, WindowVerdict
from windvane.ports.rollouts import FirstRequest, RolloutRecord

HOLD = Verdict(Outcome.HOLD, "ROL-301", "<b>few</b> failed", "432 units more, about 22 min")


def told(at: float, log_evidence: float) -> WindowVerdict:
    guards = [
        GuardVerdict("Errors", HOLD, log_evidence, 3.5),
        GuardVerdict("Slow answers", Verdict(Outcome.PASS, "ROL-303", "few are slow"), None, 5.3),
    ]
    detail = {"missing": HOLD.missing, "step": 1, "guards": msgspec.to_builtins(guards)}
    return WindowVerdict("late", at, "rollout", "", HOLD.outcome, HOLD.code, HOLD.sentence, detail)


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    """Version 3 at 25%, which version 2 had been through before."""
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    found = World(store)
    now = found.clock.at
    began = now - 7_200.0
    stages = (Stage(0.05, began, 9e4, 0.2), Stage(0.25, began + 3_600.0, 9e4, 1.0))
    with store.begin() as tx:
        tx.put_deployment(
            Deployment("late", "2", previous="1", challenger="3", share=0.25, step=1,
                       rollout="late/3/9", rollout_started=began, stage_started=began + 3_600.0)
        )  # fmt: skip
        tx.put_rollout(RolloutRecord("late/3/9", "late", "3", "2", began, stages))
        tx.put_rollout(
            RolloutRecord("late/2/5", "late", "2", "1", began - 9e4, stages[:1], began - 8e4,
                          "promoted")
        )  # fmt: skip
        tx.add_first_requests([
            FirstRequest("late/3/9", 1, "acme", f"{arm}{i}", arm, now, i < 3, False)
            for arm, many in (("challenger", 40), ("champion", 120))
            for i in range(many)
        ])  # fmt: skip
        tx.add_verdicts([told(now - 120.0, 0.7), told(now - 60.0, 1.4)])
    yield found
    store.close()


def test_the_page_says_what_it_waits_for(world: World) -> None:
    async def story() -> None:
        page = (await world.ask("operator", "GET", "/models/late/rollout")).text
        for words in ("432 units more, about 22 min", "&lt;b&gt;few&lt;/b&gt; failed",
                      "Slow answers", "25.0%", "promoted", "under way"):  # fmt: skip
            assert words in page, words
        for name in ("pause", "skip", "share", "abort"):
            assert f"/act/model/{name}/late" in page
        assert "/act/model/resume/late" not in page
        seen = (await world.ask("viewer", "GET", "/models/late/rollout")).text
        assert "/act/model/pause/late" not in seen

    run(story)


def test_the_api_has_stages_and_guards(world: World) -> None:
    async def story() -> None:
        newest, before = (await world.ask("viewer", "GET", "/api/models/late/rollouts")).json()
        assert [stage["share"] for stage in newest["stages"]] == [0.05, 0.25]
        assert newest["stages"][1]["challenger"] == 40
        assert newest["stages"][1]["champion_failed"] == 3
        assert [guard["code"] for guard in newest["guards"]] == ["ROL-301", "ROL-303"]
        assert newest["guards"][0]["missing"] == HOLD.missing
        assert (before["end"], before["guards"]) == ("promoted", [])

    run(story)


def test_a_model_without_rollouts_says_so(world: World) -> None:
    async def story() -> None:
        page = await world.ask("admin", "GET", "/models/seats/rollout")
        assert "No version was rolled out yet" in page.text
        assert (await world.ask("admin", "GET", "/models/none/rollout")).status_code == 404

    run(story)


def test_the_chart_has_the_evidence_against_its_boundary() -> None:
    chart = evidence_chart([told(60.0 * i, 0.1 * i) for i in range(1_000)])
    assert chart is not None
    evidence, level = (line["values"] for line in chart.data["series"])
    assert len(evidence) == len(level) <= 500
    assert evidence[-1] == pytest.approx(99.9 / 2.302585, abs=1e-3), (
        "the last one is never left out"
    )
    assert set(level) == {round(3.5 / 2.302585, 3)}
    assert evidence_chart([told(0.0, 1.0)]) is None
    assert evidence_chart([]) is None
