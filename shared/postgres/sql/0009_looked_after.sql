-- Finds an instance that has not ended and that nobody will look at; such rows are few.
CREATE INDEX workflow_instances_unwatched ON workflow_instances (status)
    WHERE due_at IS NULL AND finished_at IS NULL;
