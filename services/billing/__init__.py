"""Customers: their plans, subscriptions, invoices, payments and use.

Owns the schema `billing`. Takes the commands of customer, renewal, payment_retry and
subscription_cleanup, `ingest.billing.*`, `commands.billing.*` and `queries.billing.*`; publishes
`events.billing.*`.
No money moves but through a payment provider, under a key that the database held first.
"""
