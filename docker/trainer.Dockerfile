# What the jobs' pods run: every stage, on GPUs where there are any. CUDA comes with torch's wheels; nodes give the driver.
#
#   docker build -f docker/trainer.Dockerfile -t registry.example/mashbill-trainer:0.1.0 \
#     --build-arg PYTHON_DIGEST=@sha256:... .
#
# The tag is exact. Its digest is yours to give, from the registry that you pull from; without it the tag is trusted.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG PYTHON_DIGEST=""

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST} AS wheels
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY docker/build.lock docker/trainer-source.lock docker/
RUN pip install --require-hashes --no-deps --only-binary :all: -r docker/build.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY operators operators
# No part of DeepSpeed is compiled: the optimiser is torch's.
RUN DS_BUILD_OPS=0 pip wheel --require-hashes --no-deps --no-build-isolation -w wheels -r docker/trainer-source.lock \
    && pip wheel --no-index --no-deps --no-build-isolation -w wheels .

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST} AS installed
ENV PATH=/opt/venv/bin:${PATH} PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY docker/trainer.lock docker/
COPY --from=wheels /build/wheels wheels
RUN python -m venv /opt/venv \
    && pip install --require-hashes --no-deps --only-binary :all: -r docker/trainer.lock \
    && pip install --no-index --no-deps wheels/*.whl \
    && pip check

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST}
# OpenMP for LightGBM, InfiniBand for NCCL.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
      libgomp1=12.2.0-14+deb12u1 libibverbs1=44.0-2 ibverbs-providers=44.0-2 librdmacm1=44.0-2 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --gid 0 --home-dir /scratch --create-home mashbill \
    && chmod g=u /scratch
COPY --from=installed /opt/venv /opt/venv
COPY dags /opt/mashbill/dags
ENV PATH=/opt/venv/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /scratch
USER 50000:0
CMD ["mashbill", "--help"]
