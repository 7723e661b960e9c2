"""Everything that people do to models. One file an action or two, one line each in ``ACTIONS``."""

from __future__ import annotations

from windvane.core.journal import Decision
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.usecases.actions.accept_change import AcceptChange
from windvane.usecases.actions.acknowledge import Acknowledge
from windvane.usecases.actions.action_items import AddActionItem, SetActionItem
from windvane.usecases.actions.base import (
    About,
    ActionRefused,
    Asked,
    BadAnswer,
    Done,
    ModelAction,
    ModelState,
    Question,
    ServingChecks,
)
from windvane.usecases.actions.close_incident import CloseIncident, is_closable
from windvane.usecases.actions.delete import DeleteModel, DeleteVersion
from windvane.usecases.actions.deploy import Deploy, FilesNotTrusted
from windvane.usecases.actions.grade_incident import GradeIncident
from windvane.usecases.actions.post_update import PostUpdate
from windvane.usecases.actions.roll_back import Abort, RollBack
from windvane.usecases.actions.silence import LiftSilence, SilenceIncident, SilenceModel
from windvane.usecases.actions.steer_rollout import (
    PauseRollout,
    ResumeRollout,
    SetShare,
    SkipStage,
)
from windvane.usecases.actions.trust import DistrustVersion, TrustVersion
from windvane.usecases.actions.turn_off import TurnOff, TurnOn
from windvane.usecases.actions.undeploy import Undeploy

# In the order in which they are shown.
ACTIONS: tuple[ModelAction, ...] = (
    RollBack(),
    Abort(),
    PauseRollout(),
    ResumeRollout(),
    SkipStage(),
    SetShare(),
    TurnOff(),
    TurnOn(),
    SilenceModel(),
    LiftSilence(),
    Undeploy(),
    DeleteModel(),
    Deploy(),
    TrustVersion(),
    DistrustVersion(),
    DeleteVersion(),
    Acknowledge(),
    PostUpdate(),
    SilenceIncident(),
    CloseIncident(),
    AcceptChange(),
    GradeIncident(),
    AddActionItem(),
    SetActionItem(),
)


def action_named(name: str, about: About) -> ModelAction:
    """Raises KeyError."""
    return {(a.name, a.about): a for a in ACTIONS}[name, about]


def perform(
    store: ControlStore,
    clock: Clock,
    action: ModelAction,
    asked: Asked,
    checks: ServingChecks | None = None,
) -> Decision:
    """Do what was asked and record it; the decision. ``checks`` are what is asked of this machine
    before a version goes live. Raises ActionRefused, UnknownName."""
    return action.perform(store, clock, asked, checks or ServingChecks())


__all__ = [
    "ACTIONS",
    "About",
    "ActionRefused",
    "Asked",
    "BadAnswer",
    "Done",
    "FilesNotTrusted",
    "ModelAction",
    "ModelState",
    "Question",
    "ServingChecks",
    "action_named",
    "is_closable",
    "perform",
]
