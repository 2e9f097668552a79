-- Lists of instances, newest first, by kind and status: each kind and status is one range of this
-- index. Collated as programs compare, so that the pages of several services can be merged. What is
-- retired is in no list.
CREATE INDEX workflow_instances_listed
    ON workflow_instances (kind, status, created_at DESC, (id COLLATE "C") DESC)
    WHERE retired_at IS NULL;
