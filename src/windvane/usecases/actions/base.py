"""What an action is: something that a person does to a model, a version or an incident."""

from __future__ import annotations

import contextlib
import enum
import hashlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from windvane.core.authorization import Action
from windvane.core.errors import WindvaneError
from windvane.core.execution import Environment, RuntimeName
from windvane.core.journal import Decision, Effect
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import (
    ControlStore,
    Deployment,
    Incident,
    Tx,
    UnknownName,
    VersionRecord,
)
from windvane.ports.trial import TrialOrder


class ActionRefused(WindvaneError):
    """What was asked for cannot be done as things are; nothing was changed."""

    code: ClassVar[str] = "ACT-100"


class ChangedMeanwhile(ActionRefused):
    """What was confirmed is not what would happen now; nothing was changed."""

    code: ClassVar[str] = "ACT-101"
    hint = "look at what would happen now, and confirm that"


class About(enum.StrEnum):
    """What an action is done to. A version is one of a model."""

    MODEL = "model"
    VERSION = "version"
    INCIDENT = "incident"


class BadAnswer(ActionRefused):
    """What an action asks for was answered by something that it does not take."""

    code: ClassVar[str] = "ACT-102"
    hint = "docs/reference/http.md says what each action takes"


@dataclass(frozen=True, slots=True)
class Question:
    """What an action asks for beyond the reason, under ``name``. ``options`` are the values that
    may be, each with its words for a form; none for a text of at most ``longest`` characters.
    ``kind`` is that of an HTML input, ``area`` for several lines. "" is an answer unless it is
    ``required``."""

    name: str
    label: str
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    hint: str = ""
    kind: str = "text"
    longest: int = 500
    required: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for: ``by`` whom and why (``reason``), for the record. ``version`` and
    ``incident`` where the action is about one; ``lasts_s`` where it ends by itself (seconds).

    ``confirmed`` is the `ModelAction.prospect` that somebody saw, "" where nobody looked. ``once``
    names the request: repeated by the same actor it is done once. ``answers`` are those to the
    action's questions, by name.
    """

    model: str
    by: str
    reason: str = ""
    version: str = ""
    incident: str = ""
    lasts_s: float = 0.0
    confirmed: str = ""
    once: str = ""
    answers: Mapping[str, str] = field(default_factory=dict[str, str])

    def answer(self, name: str) -> str:
        """Without blanks around it; "" where there is none."""
        return self.answers.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, as its decision has it: about which ``subject``, by the ``code`` of the
    sentence ``message``, from which ``facts``, and what follows."""

    subject: str
    code: str
    message: str
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    effects: tuple[Effect, ...] = ()


def _nothing_missing(_: RuntimeName) -> str:
    return ""


def _whole(_: Environment) -> str:
    return ""


def _answers(_: TrialOrder) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class ServingChecks:
    """What is asked of this machine before a version goes live: ``missing_package`` says what has
    to be installed for a runtime, ``damage`` what is wrong with an environment of packages of a
    version's own, ``trial`` what goes wrong as the version is loaded and asked; "" for nothing."""

    missing_package: Callable[[RuntimeName], str] = _nothing_missing
    damage: Callable[[Environment], str] = _whole
    trial: Callable[[TrialOrder], str] = _answers


@dataclass(frozen=True, slots=True)
class Occurrence:
    """When an action happens, by business time and by the wall's clock (s since the epoch), and
    the id of its decision."""

    now: float
    wall: float
    decision: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """How a model is, for what is worth proposing: what is ``live`` of it, whether it is served
    elsewhere and only ``watched`` here, whether anything of it is ``silenced``."""

    live: Deployment | None
    watched: bool = False
    silenced: bool = False


class ModelAction(ABC):
    """One thing that people do. To add one: a file here and a line in ``ACTIONS``; the console,
    the API and the record follow. ``name`` is its path, ``verb`` its button, ``permission`` what
    allows it; ``destructive`` if it takes something away that is not put back by another action."""

    name: ClassVar[str]
    verb: ClassVar[str]
    permission: ClassVar[Action]
    about: ClassVar[About] = About.MODEL
    destructive: ClassVar[bool] = False
    record: ClassVar[str]  # the decision's action
    lasts: ClassVar[str] = ""  # the duration that is proposed, where it ends by itself
    questions: ClassVar[tuple[Question, ...]] = ()

    def fits(self, state: ModelState) -> bool:
        """Whether it is worth proposing as things are. What refuses it in the end is
        ``foresee``."""
        del state
        return True

    def fits_version(
        self, version: VersionRecord, live: Deployment | None, *, trusted: bool
    ) -> bool:
        """The same of an action about a version, whose files are ``trusted`` or not."""
        del version, live, trusted
        return True

    def fits_incident(self, incident: Incident, actor: str) -> bool:
        """The same of an action about an incident, for who is ``actor``."""
        del actor
        return incident.closed_at is None

    @abstractmethod
    def foresee(self, tx: Tx, asked: Asked) -> str:
        """What will happen, in sentences for who is about to confirm. Raises ActionRefused and
        UnknownName."""

    def propose(self, tx: Tx, asked: Asked, now: float) -> Mapping[str, str]:
        """Answers that a form begins with, by question; ``now`` in s. Raises UnknownName."""
        del tx, asked, now
        return {}

    def prospect(self, tx: Tx, asked: Asked) -> str:
        """A hash of what ``foresee`` says, to confirm just that. Raises as ``foresee``."""
        about = Asked(asked.model, "", version=asked.version, incident=asked.incident)
        return hashlib.sha256(self.foresee(tx, about).encode()).hexdigest()

    @abstractmethod
    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        """Do it in the transaction. Raises as ``foresee``."""

    def locks(self, asked: Asked) -> Sequence[str] | None:
        """The models that nobody else may change meanwhile; None for all."""
        return (asked.model,)

    def check(self, store: ControlStore, asked: Asked, checks: ServingChecks) -> None:
        """What takes long, before the transaction begins; nothing by default."""
        del store, asked, checks

    def perform(
        self, store: ControlStore, clock: Clock, asked: Asked, checks: ServingChecks
    ) -> Decision:
        """Check, act and record, in one transaction; the decision. Raises ChangedMeanwhile where
        it would do another thing than was confirmed."""
        if asked.once and (before := self._done_before(store, asked)) is not None:
            return before
        check_answers(self.questions, asked.answers)
        self.check(store, asked, checks)
        with store.begin(self.locks(asked)) as tx:
            tx.model(asked.model)
            if asked.confirmed and asked.confirmed != self.prospect(tx, asked):
                raise ChangedMeanwhile("it would do another thing by now than was confirmed")
            when = Occurrence(clock.now(), clock.wall(), self._decision_id(asked))
            done = self.act(tx, asked, when)
            decision = Decision(
                id=when.decision,
                model=asked.model,
                judge="",
                subject=done.subject,
                action=self.record,
                at=when.now,
                policy={},
                facts=done.facts,
                verdict=Verdict(Outcome.PASS, done.code, done.message),
                effects=done.effects,
                actor=asked.by,
                reason=asked.reason,
            )
            tx.decide(decision)
        return decision

    def _done_before(self, store: ControlStore, asked: Asked) -> Decision | None:
        with store.read() as tx, contextlib.suppress(UnknownName):
            return tx.decision(self._decision_id(asked))
        return None

    def _decision_id(self, asked: Asked) -> str:
        about = asked.incident or "/".join(filter(None, (asked.model, asked.version)))
        named = hashlib.sha256(f"{asked.by}\0{asked.once}".encode()).hexdigest()[:16]
        return f"{about}/{self.name}/{named if asked.once else secrets.token_hex(8)}"


def check_answers(questions: Sequence[Question], answers: Mapping[str, str]) -> None:
    """Raises BadAnswer, which names the question and what it takes."""
    if strange := sorted(answers.keys() - {one.name for one in questions}):
        raise BadAnswer(f"{strange[0][:64]!r} is not asked for")
    for one in questions:
        given = answers.get(one.name, "").strip()
        if not given:
            if one.required:
                raise BadAnswer(f"{one.name} is missing", hint=one.hint or one.label)
        elif one.options and given not in one.options:
            raise BadAnswer(f"{one.name} is {given[:64]!r}", hint=f"one of {_listed(one.options)}")
        elif len(given) > one.longest:
            raise BadAnswer(
                f"{one.name} has {len(given):,} characters, {one.longest:,} are the most"
            )


def _listed(options: Mapping[str, str]) -> str:
    return ", ".join(value for value in options if value)
