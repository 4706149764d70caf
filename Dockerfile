# Two images out of one build: `slim`, the default, serves the model that it holds, on CPUs; `full` has torch too,
# for CUDA and for preparing other models. At run time they write to /tmp and /dev/shm, and `full` to /models.
# Which model they hold:
ARG MODEL_NAME=ViT-B-32
ARG PRETRAINED=laion2b_s34b_b79k
# Groups of packages besides, each with a comma before it: `,tracing`, `,postgresql`, `,elasticsearch`, `,milvus`.
ARG EXTRAS=

FROM python:3.11-slim-bookworm AS base
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH MODEL_CACHE_DIR=/models


FROM base AS packages
ENV PIP_NO_CACHE_DIR=1 POETRY_VIRTUALENVS_OPTIONS_NO_PIP=true
COPY pyproject.toml poetry.lock ./
COPY tools/run_poetry.py tools/
ARG EXTRAS
# The project is installed as a reference to /app, so empty packages stand in for the code: a change to the code
# leaves this layer as it is. Compiled now: the service's user can't write here, so that every start would compile. What
# OpenVINO has for Intel's GPUs and NPUs, which the service doesn't use, is 60 MB.
RUN mkdir -p app clients/python/tate_embeddings_client \
    && touch app/__init__.py clients/python/tate_embeddings_client/__init__.py README.md \
    && python tools/run_poetry.py install --only "main$EXTRAS" --compile --no-interaction \
    && rm -rf /root/.cache .venv/lib/python3.11/site-packages/openvino/libs/libopenvino_intel_[gn]pu_plugin.so \
        .venv/lib/python3.11/site-packages/openvino/libs/cache.json


FROM packages AS packages-torch
RUN python tools/run_poetry.py install --only "main,torch$EXTRAS" --compile --no-interaction && rm -rf /root/.cache


FROM packages-torch AS model
COPY app app
COPY clients/python/tate_embeddings_client clients/python/tate_embeddings_client
ARG MODEL_NAME
ARG PRETRAINED
# Another hub to fetch from; empty must become unset, or the client takes it for an address.
ARG HF_ENDPOINT
# The bundled model puts nothing there.
RUN mkdir -p /models; [ -n "$HF_ENDPOINT" ] || unset HF_ENDPOINT; tate-embeddings prepare


FROM base AS runtime
# A volume that is mounted there for the first time belongs to whom the folder does.
RUN useradd --uid 10001 --user-group --create-home service \
    && install --directory --owner=10001 --group=10001 /data/images /data/artifacts /data/thumbnails
ARG MODEL_NAME
ARG PRETRAINED
ENV MODEL_NAME=$MODEL_NAME PRETRAINED=$PRETRAINED
EXPOSE 8000
# Without a proxy, even if the environment names one.
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s CMD ["python", "-c", "import os, urllib.request as r; \
    r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + (os.environ.get('PORT') or '8000') + '/health')"]
CMD ["tate-embeddings", "serve"]


FROM runtime AS full
# torch reads the original weights, not the prepared ones: fetched at the first start, a volume on /models keeps them.
ENV HF_HOME=/models/hub
COPY --from=packages-torch /app/.venv .venv
COPY --from=model --chown=10001:10001 /models /models
COPY app app
COPY clients/python/tate_embeddings_client clients/python/tate_embeddings_client
USER 10001:10001


FROM runtime AS slim
COPY --from=packages /app/.venv .venv
COPY --from=model /models /models
COPY app app
COPY clients/python/tate_embeddings_client clients/python/tate_embeddings_client
USER 10001:10001
