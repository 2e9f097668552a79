-- A customer's balances are theirs to ask for, however many entries there are.
CREATE INDEX ledger_entries_of_customer ON ledger_entries (customer_id);
