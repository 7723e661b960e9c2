"""What worlds of rollouts count of units is what the control store counts of the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st
from rollout_worlds import UnitLedger

from windvane.adapters.sql import SqlControlStore
from windvane.core.rollout import EVERYONE, FAILED, SLOW, Stage, tenant_slice
from windvane.ports.rollouts import FirstRequest, UnitEvent

STAGES = (Stage(0.05, 0.0, 9.0), Stage(0.25, 60.0, 9.0), Stage(0.5, 120.0, 9.0))
TENANTS = 3
SENT = st.lists(
    st.tuples(
        st.integers(0, len(STAGES) - 1), st.integers(0, 8), st.booleans(), st.booleans(),
        st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


@given(SENT)
def test_the_ledger_has_the_facts_of_the_store(
    migrated_file: Path, sent: list[tuple[int, int, bool, bool, bool]]
) -> None:
    ledger = UnitLedger()
    requests: list[FirstRequest] = []
    events: list[UnitEvent] = []
    for step, unit, challenger, failed, slow in sent:
        tenant, arm = unit % TENANTS, "challenger" if challenger else "champion"
        ledger.add(step, unit, tenant, challenger, failed, slow)
        named = (str(tenant), f"u{unit}", arm)
        requests.append(FirstRequest("roll", step, *named, 0.0, failed, slow))
        events += [
            UnitEvent("roll", what, of, *named, step, 0.0)
            for what, so in ((FAILED, failed), (SLOW, slow))
            if so
            for of in (EVERYONE, tenant_slice(str(tenant)))
        ]
    with TemporaryDirectory() as home:
        shutil.copy(migrated_file, Path(home) / "control.db")
        store = SqlControlStore(f"sqlite:///{Path(home) / 'control.db'}")
        with store.begin() as tx:
            tx.add_first_requests(requests)
            tx.add_unit_events(events)
        with store.read() as tx:
            assert ledger.stages(STAGES) == tx.stage_facts("roll", STAGES)
            assert len(ledger.tenants) == tx.slices_of("roll")
        store.close()
