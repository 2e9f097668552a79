-- The erasure for which nothing new is begun, and when the customer was erased for good. A customer
-- whose last subscription ended long ago is anonymised too, but may come back.

ALTER TABLE customers
    ADD COLUMN held_by   text,
    ADD COLUMN erased_at timestamptz;
