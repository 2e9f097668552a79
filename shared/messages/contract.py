"""Every request that services answer, and the codes of what each refuses.

Who describes the contract reads it here, since no service may be imported; the tests compare it
with what the services declare.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.messages import billing as b
from shared.messages import dead_letters as d
from shared.messages import invariants as i
from shared.messages import maintenance as m
from shared.messages import notices as n
from shared.messages import persons, readiness, retention, statuses, subjects
from shared.messages import player as p
from shared.messages import schedules as s
from shared.messages import workflows as w
from shared.messages.base import Message
from shared.messages.events import Event


class Call(NamedTuple):
    """One request: what it carries, what answers it, and the codes of its own refusals."""

    name: str
    message: type[Message]
    answer: type[Message]
    refusals: tuple[str, ...] = ()


SERVICES = tuple(sorted({trigger.service for trigger in w.TRIGGERS.values()}))

NO_PLAYER = "player_not_found"
NOT_PRESENT = ("person_held", "person_erased")
OF_PLAYER = (NO_PLAYER, "player_inactive", *NOT_PRESENT)
NO_CUSTOMER = "customer_not_found"
NO_PLAN = "plan_not_found"
NO_SUBSCRIPTION = "subscription_not_found"
NO_INVOICE = "invoice_not_found"
NO_LETTER = "dead_letter_not_found"
NO_SCHEDULE = ("schedule_not_found",)
OFFERED = (NO_PLAN, "plan_inactive", "currency_mismatch")
PRICE = (
    "one_price",
    "unknown_currency",
    "amount_not_positive",
    "amount_too_large",
    "wrong_amount",
)

BUILTIN_COMMANDS = (
    Call("acknowledge_notice", n.AcknowledgeNotice, n.PostedNotice, ("notice_not_found",)),
    Call(
        "replay_dead_letter",
        d.ReplayDeadLetter,
        d.DeadLetter,
        (NO_LETTER, "dead_letter_settled", "workflow_retired"),
    ),
    Call(
        "discard_dead_letter",
        d.DiscardDeadLetter,
        d.DeadLetter,
        (NO_LETTER, "dead_letter_settled"),
    ),
    Call("pause_schedule", s.BySchedule, s.Schedule, NO_SCHEDULE),
    Call("resume_schedule", s.BySchedule, s.Schedule, NO_SCHEDULE),
    Call("trigger_schedule", s.BySchedule, w.Accepted, NO_SCHEDULE),
    Call("mend_statuses", statuses.MendStatuses, statuses.StatusesMended),
    Call(
        "apply_retention",
        retention.ApplyRetention,
        retention.RetentionApplied,
        ("unknown_dataset",),
    ),
    Call("vacuum", retention.Vacuum, retention.Vacuumed),
)
BUILTIN_QUERIES = (
    Call("instance", w.InstanceQuery, w.StatusDocument, ("workflow_not_found",)),
    Call("notices", n.NoticesQuery, n.Notices),
    Call("dead_letters", d.DeadLettersQuery, d.DeadLetters),
    Call("dead_letter", d.ByDeadLetter, d.DeadLetter, (NO_LETTER,)),
    Call("schedules", s.AllSchedules, s.Schedules),
    Call("invariants", i.AllInvariants, i.Violations),
    Call("readiness", readiness.ReadinessQuery, readiness.Readiness),
)
"""What every service answers beside its own."""

PERSON_COMMANDS = (
    Call("export_person", persons.ExportPerson, persons.PersonPart, ("invalid_cursor",)),
    Call("hold_person", persons.PersonOfErasure, persons.PersonState, ("person_held",)),
    Call("release_person", persons.PersonOfErasure, persons.PersonState),
    Call("erase_person", persons.PersonOfErasure, persons.PersonState, ("person_not_held",)),
)
"""Of every service that holds personal data."""

PLAYER_COMMANDS = (
    *PERSON_COMMANDS,
    Call(
        "create_player",
        p.CreatePlayer,
        p.Player,
        ("player_exists", "unknown_timezone", *NOT_PRESENT),
    ),
    Call("update_player", p.UpdatePlayer, p.Player, (NO_PLAYER, "unknown_timezone", *NOT_PRESENT)),
    Call(
        "spend",
        p.Spend,
        p.Progress,
        (*OF_PLAYER, "nothing_asked", "key_reused", "insufficient_funds"),
    ),
    Call("grant", p.Grant, p.Progress, (NO_PLAYER, "key_reused", *NOT_PRESENT)),
    Call("revoke", p.Revoke, p.Revoked, (NO_PLAYER, "nothing_asked", "key_reused", *NOT_PRESENT)),
    Call(
        "acknowledge_notification",
        p.AcknowledgeNotification,
        p.Notification,
        ("notification_not_found",),
    ),
    Call(
        "create_achievement",
        p.CreateAchievement,
        p.Achievement,
        ("achievement_exists", "threshold_out_of_range"),
    ),
    Call(
        "update_achievement",
        p.UpdateAchievement,
        p.Achievement,
        ("achievement_not_found",),
    ),
    Call("login", p.LoggedIn, p.Player, OF_PLAYER),
    Call(
        "session",
        p.SessionReported,
        p.Session,
        (
            *OF_PLAYER,
            "more_correct_than_answered",
            "ends_before_it_starts",
            "session_of_another_player",
        ),
    ),
    Call("message", p.MessageSent, p.Progress, (*OF_PLAYER, "message_of_another_player")),
    Call("activity", p.ActivityReported, p.Progress, OF_PLAYER),
)
PLAYER_QUERIES = (
    Call("player", p.ByPlayer, p.Player, (NO_PLAYER,)),
    Call("progress", p.ByPlayer, p.Progress, (NO_PLAYER,)),
    Call("inventory", p.ByPlayer, p.Inventory, (NO_PLAYER,)),
    Call("xp_history", p.PageOfPlayer, p.XpHistory, (NO_PLAYER,)),
    Call("notifications", p.PageOfPlayer, p.Notifications, (NO_PLAYER,)),
    Call("sessions", p.PageOfPlayer, p.Sessions, (NO_PLAYER,)),
    Call("session", p.BySession, p.Session, ("session_not_found",)),
    Call("achievements", p.Everything, p.Achievements),
)

BILLING_COMMANDS = (
    *PERSON_COMMANDS[:-1],
    Call(
        "erase_person",
        persons.PersonOfErasure,
        persons.PersonState,
        ("person_not_held", "provider_refused"),
    ),
    Call(
        "create_customer",
        b.CreateCustomer,
        b.Customer,
        ("customer_exists", "unknown_timezone", "unknown_currency", *NOT_PRESENT),
    ),
    Call(
        "update_customer",
        b.UpdateCustomer,
        b.Customer,
        (NO_CUSTOMER, "unknown_timezone", *NOT_PRESENT),
    ),
    Call("set_payment_method", b.SetPaymentMethod, b.Customer, (NO_CUSTOMER, *NOT_PRESENT)),
    Call("create_plan", b.CreatePlan, b.Plan, ("plan_exists", *PRICE)),
    Call("update_plan", b.UpdatePlan, b.Plan, (NO_PLAN,)),
    Call("delete_plan", b.ByPlan, b.Plan, (NO_PLAN, "plan_in_use")),
    Call(
        "create_subscription",
        b.CreateSubscription,
        b.Subscription,
        (NO_CUSTOMER, *OFFERED, "payment_method_required", "subscription_exists", *NOT_PRESENT),
    ),
    Call(
        "change_plan",
        b.ChangePlan,
        b.Subscription,
        (NO_SUBSCRIPTION, "subscription_canceled", *OFFERED),
    ),
    Call("cancel_subscription", b.CancelSubscription, b.Subscription, (NO_SUBSCRIPTION,)),
    Call(
        "uncancel_subscription",
        b.BySubscription,
        b.Subscription,
        (NO_SUBSCRIPTION, "subscription_canceled"),
    ),
    Call("pay_invoice", b.PayInvoice, w.Accepted, (NO_INVOICE, "not_payable")),
    Call("refund_invoice", b.ByInvoice, b.Invoice, (NO_INVOICE, "not_refundable")),
    Call(
        "resolve_dispute",
        b.ResolveDispute,
        b.Invoice,
        (NO_INVOICE, "not_disputed", "not_resolvable"),
    ),
    Call(
        "usage",
        b.UsageReported,
        b.CustomerUsage,
        (NO_CUSTOMER, "event_of_another_customer", *NOT_PRESENT),
    ),
    Call(
        "provider_webhook",
        b.ProviderWebhook,
        b.WebhookTaken,
        ("provider_not_found", "signature_refused"),
    ),
)
BILLING_QUERIES = (
    Call("customer", b.ByCustomer, b.Customer, (NO_CUSTOMER,)),
    Call("subscriptions", b.ByCustomer, b.Subscriptions, (NO_CUSTOMER,)),
    Call("invoices", b.PageOfCustomer, b.Invoices, (NO_CUSTOMER,)),
    Call("customer_usage", b.ByCustomer, b.CustomerUsage, (NO_CUSTOMER,)),
    Call("balances", b.ByCustomer, b.Balances, (NO_CUSTOMER,)),
    Call("plan", b.ByPlan, b.Plan, (NO_PLAN,)),
    Call("plans", b.AllPlans, b.Plans),
    Call("subscription", b.BySubscription, b.Subscription, (NO_SUBSCRIPTION,)),
    Call("subscription_events", b.BySubscription, b.SubscriptionHistory, (NO_SUBSCRIPTION,)),
    Call("invoice", b.ByInvoice, b.Invoice, (NO_INVOICE,)),
)

MAINTENANCE_COMMANDS = (
    Call("check_invariants", m.CheckInvariants, m.InvariantResults),
    Call("invalidate_cache", m.InvalidateCache, m.CacheState),
    Call(
        "set_retention",
        m.SetRetention,
        m.RetentionPolicy,
        ("nothing_to_change", "kept_too_shortly", "policy_not_found"),
    ),
)
MAINTENANCE_QUERIES = (
    Call("caches", m.AllCaches, m.Caches),
    Call("analytics", m.AnalyticsQuery, m.AnalyticsReport, ("invalid_message",)),
    Call("invariant_results", m.InvariantResultsQuery, m.InvariantResults),
    Call("erasures", persons.ErasuresQuery, persons.Erasures),
    Call("retention", m.AllRetention, m.RetentionPolicies),
    Call("health", m.HealthQuery, m.HealthChecked),
)

COMMANDS: dict[str, tuple[Call, ...]] = {
    "player": PLAYER_COMMANDS,
    "billing": BILLING_COMMANDS,
    "maintenance": MAINTENANCE_COMMANDS,
}
QUERIES: dict[str, tuple[Call, ...]] = {
    "player": PLAYER_QUERIES,
    "billing": BILLING_QUERIES,
    "maintenance": MAINTENANCE_QUERIES,
}
"""A service's own requests."""

FACTS: dict[str, dict[str, type[Message]]] = {
    "player": {
        "login": p.LoggedIn,
        "session": p.SessionReported,
        "message": p.MessageSent,
        "activity": p.ActivityReported,
    },
    "billing": {
        "customer_changed": b.UpdateCustomer,
        "payment_method_changed": b.SetPaymentMethod,
        "usage": b.UsageReported,
    },
}
"""What is taken on `ingest.<service>.<name>`."""

CALLS: dict[str, Call] = {
    **{
        subjects.command(service, call.name): call
        for service in SERVICES
        for call in (*BUILTIN_COMMANDS, *COMMANDS[service])
    },
    **{
        subjects.query(service, call.name): call
        for service in SERVICES
        for call in (*BUILTIN_QUERIES, *QUERIES[service])
    },
}
"""Every request by its subject."""

EVENTS: dict[str, tuple[type[Event], ...]] = {
    module.SERVICE: tuple(
        each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Event)
    )
    for module in (p, b)
}
"""What is told on `events.<service>.<name>`."""
