-- Where the restart stood that the present run came from: an older terminate is void.

ALTER TABLE workflow_instances
    ADD COLUMN restart_stream text,
    ADD COLUMN restart_seq    bigint;
