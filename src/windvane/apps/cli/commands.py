"""Every command and group of commands, a line each."""

# ruff: noqa: E501 - a line each, so that two that are added at the same time merge

from __future__ import annotations

from typing import NamedTuple

RUN = "Run"
MODELS = "Models"
WATCH = "What happens"
ACCESS = "Access and limits"
MAINTAIN = "Maintenance"


class Command(NamedTuple):
    """A command, or a group of them. ``target`` is `MODULE:NAME` below `windvane.apps.cli`, of a
    function or of a Typer application; it is imported when the command is called, not before.
    ``summary`` is the first sentence of its help, held here so that `windvane --help` imports
    no command."""

    name: str
    target: str
    panel: str
    summary: str


COMMANDS: tuple[Command, ...] = (
    Command("up", "up:up", RUN, "Start gateway, recorder, steward and console; stop with Ctrl-C."),
    Command("restart", "up:restart", RUN, "Replace the gateway's workers one by one, each when its successor answers."),
    Command("stop", "stopping:stop", RUN, "Stop the `windvane up` of this home, and wait until it has ended."),
    Command("demo", "demo:demo", RUN, "Watch the whole loop on a year of real flights: quiet weeks, then three faults."),
    Command("apply", "serving:apply", MODELS, "Apply a model's file: its features, owner, policy and budgets."),
    Command("train", "train:train", MODELS, "Train a version from a table. Nothing goes live."),
    Command("register", "register:register", MODELS, "Register a model that was made elsewhere. Nothing goes live."),
    Command("watch", "register:watch", MODELS, "Register a version that somebody else serves, by what it answered in the past."),
    Command("deploy", "serving:deploy", MODELS, "Put a version live: the first at once, a later one as a canary."),
    Command("rollback", "serving:rollback", MODELS, "Return to the version before, or end the rollout that is under way."),
    Command("rollout", "rollouts:rollout_app", MODELS, "Rollouts: how one stands, and pause, resume, skip or a share by hand."),
    Command("abort", "acting:abort", MODELS, "End the rollout that is under way; its version may be deployed again."),
    Command("off", "acting:off", MODELS, "Turn a model off: it answers nobody, until `windvane on`."),
    Command("on", "acting:on", MODELS, "Turn a model on again: what is deployed answers."),
    Command("undeploy", "acting:undeploy", MODELS, "Take a model out of service; its versions stay registered."),
    Command("delete", "acting:delete", MODELS, "Delete a version with its files, or a model with all of its versions and its past."),
    Command("explain-runtime", "serving:explain", MODELS, "Which runtime serves a version, why, and why not each other one."),
    Command("profile", "optimize:profile", MODELS, "Where a request's time goes, and what other ways to serve a version cost and buy."),
    Command("optimize", "optimize:optimize", MODELS, "Register a cheaper form of a version, with what it loses signed. Nothing goes live."),
    Command("environments", "environments:environments", MODELS, "Environments of models that have packages of their own: size, state, who uses them."),
    Command("quarantine", "quarantine:quarantine_app", WATCH, "What could not be processed: list it, look at it, process it again, forget it."),
    Command("spools", "quarantine:spools_app", WATCH, "How far each spool is recorded, and which are gone."),
    Command("check", "check_files:check", WATCH, "Compare a table with a reference by the judges of the platform, and without it."),
    Command("backtest", "backtest:backtest", WATCH, "Replay a model's recorded windows through today's policy. Nothing is written."),
    Command("log-size", "log_size:log_size", WATCH, "How large the log is and becomes, and when its disk is full."),
    Command("status", "reading:status", WATCH, "What is live and how it is, now."),
    Command("incidents", "reading:incidents", WATCH, "What went wrong, what was done about it, and the evidence."),
    Command("acknowledge", "acting:acknowledge", WATCH, "Say that you are on an incident: whoever looks at it sees that."),
    Command("update", "acting:update", WATCH, "Post an update of an open incident; without a text, print the draft of the next one."),
    Command("silence", "acting:silence", WATCH, "Tell nobody of a model's incidents, or of one cause's, for a while."),
    Command("maintenance", "maintenance:maintenance_app", WATCH, "Planned maintenance, in which nobody is paged: list it, declare it, cancel it."),
    Command("close", "acting:close", WATCH, "Close an incident by hand; the reason goes on record."),
    Command("grade", "acting:grade", WATCH, "Say what an incident was: monitors are measured by it."),
    Command("postmortem", "postmortems:postmortem", WATCH, "Write what is on record of an incident, in Markdown."),
    Command("action-items", "postmortems:items_app", WATCH, "What is to be done after incidents: list it, add to it, say that it is done."),
    Command("monitors", "alerts:monitors", WATCH, "How good each monitor's alerts are, and how fast people answer them."),
    Command("accept", "acting:accept", WATCH, "Accept what changed as the new normal: the reference of its features begins anew."),
    Command("replay-decision", "reading:replay", WATCH, "Judge a recorded decision again, from its own facts and policy."),
    Command("import-events", "imports:import_events", WATCH, "Tell a gateway of predictions that were made elsewhere, from a file."),
    Command("quality", "quality:quality", WATCH, "How good answers are: measured, estimated until outcomes come, and from sampled labels."),
    Command("labels", "labels:labels_app", WATCH, "Have a sample of predictions labelled, and see what its labels say of all."),
    Command("key", "tenants:keys_app", ACCESS, "API keys: issue, list, rotate, revoke. A key is shown once; only its hash is kept."),
    Command("user", "users:users_app", ACCESS, "Users of the console: add, list, remove, change their passwords and roles."),
    Command("limit", "tenants:limit", ACCESS, "Bound what a tenant may ask for; with no bound named, show the bounds."),
    Command("trust", "tenants:trust", ACCESS, "Vouch for a version whose files can run code when they are loaded."),
    Command("audit", "tenants:audit", ACCESS, "Who called what, under which key, from when to when; newest first."),
    Command("backup", "backups:backup", MAINTAIN, "Write a backup of the installation, while it runs."),
    Command("restore", "backups:restore", MAINTAIN, "Make a new home of a backup; then `windvane up --home NEW` answers as the old one did."),
    Command("logs", "logs:logs", MAINTAIN, "What the processes of `windvane up` say, together in the order of time."),
    Command("doctor", "doctor:doctor", MAINTAIN, "Look at an installation: what is wrong with it, and what to do."),
    Command("explain-code", "explain_code:explain_code", MAINTAIN, "What a code means, what causes it and how to fix it."),
    Command("completion", "completion:completion", MAINTAIN, "Print the script that completes commands and options in a shell."),
)  # fmt: skip
