-- The trace that an instance was started under (a W3C traceparent), to which later deliveries link.

ALTER TABLE workflow_instances ADD COLUMN trace text;
