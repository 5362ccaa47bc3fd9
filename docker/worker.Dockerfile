# What Airflow's pods run: Airflow, its providers and mashbill, without torch. Stages that train are sent to the cluster
# (docker/trainer.Dockerfile); those that need no torch may run here, too.
#
#   docker build -f docker/worker.Dockerfile -t registry.example/mashbill-worker:0.1.0 \
#     --build-arg AIRFLOW_DIGEST=@sha256:... --build-arg PYTHON_DIGEST=@sha256:... .
#
# Tags are exact. Their digests are yours to give, from the registry that you pull from; without them the tags are trusted.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG PYTHON_DIGEST=""
ARG AIRFLOW_IMAGE=apache/airflow:slim-3.3.2-python3.11
ARG AIRFLOW_DIGEST=""

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST} AS wheels
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY docker/build.lock docker/
RUN pip install --require-hashes --no-deps --only-binary :all: -r docker/build.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY operators operators
RUN pip wheel --no-index --no-deps --no-build-isolation -w wheels .

FROM ${AIRFLOW_IMAGE}${AIRFLOW_DIGEST}
USER 0
# OpenMP for LightGBM; which version there is depends on the Debian of the base.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
USER 50000:0
WORKDIR /opt/airflow
COPY docker/worker.lock /tmp/mashbill/
COPY --from=wheels /build/wheels /tmp/mashbill/wheels
RUN pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r /tmp/mashbill/worker.lock \
    && pip install --no-cache-dir --no-index --no-deps /tmp/mashbill/wheels/*.whl
COPY dags /opt/mashbill/dags
ENV PYTHONDONTWRITEBYTECODE=1
