# One image for all processes; the command chooses which: python -m services.player, …
# checkov:skip=CKV_DOCKER_7:the version is in the argument, where checkov does not look
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements/image.txt requirements/build.txt requirements/
# Where packages come from is the builder's own business: pip.conf as a build secret, if at all.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
    && python -m venv --without-pip /opt/padawanforge \
    && /opt/build/bin/pip --python /opt/padawanforge/bin/python install --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY shared shared
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/build/bin/pip --python /opt/padawanforge/bin/python install --no-deps --no-index /wheels/*.whl

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="PadawanForge Workflows" \
    org.opencontainers.image.description="Durable background workflows over NATS JetStream and PostgreSQL" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/padawanforge /opt/padawanforge
COPY deploy/healthcheck.py /opt/padawanforge/healthcheck.py
ENV PATH=/opt/padawanforge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HTTP_HOST=0.0.0.0 HTTP_PORT=8080
WORKDIR /tmp
USER 10001:10001
EXPOSE 8080
# For Docker alone; Kubernetes has probes of its own.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["python", "/opt/padawanforge/healthcheck.py"]
CMD ["python", "-m", "services.gateway"]
