# Two images from one file: `producer` (no model runtime) and `worker` (onnxruntime and a baked-in model; no torch).
#   docker compose build        or one by hand:  docker build --target worker -t bulkqa-worker .
# Dependencies are in layers of their own, so a code change does not reinstall them. Both can use object storage.
ARG PYTHON=3.12

# The code as a wheel: a few kilobytes, the only layer that a code change rebuilds. It is copied rather than mounted for
# the installation, because Podman's cache does not notice a change of a mounted file.
FROM python:${PYTHON}-slim AS wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/backend.txt /lists/
RUN pip install --require-hashes -r /lists/backend.txt
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY bulkqa bulkqa
COPY contract contract
COPY producer producer
COPY worker worker
# The model has a layer of its own, in the worker image only.
ENV WHEEL_WITHOUT_MODEL=1
RUN pip wheel --no-deps --no-build-isolation -w /dist .

# Virtual environments with only the locked dependencies, whose hashes are checked. They have no pip; that of the base
# image is used. UNUSED lists what bulkqa never loads, 80 MB: Arrow's Flight, its own S3, headers; tests.
FROM python:${PYTHON}-slim AS deps
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    UNUSED="pyarrow/*flight* pyarrow/*s3* pyarrow/include pyarrow/src */tests */*/tests */*/*/tests"
RUN python -m venv --without-pip /opt/bulkqa

FROM deps AS producer-deps
COPY requirements/producer.txt /lists/
RUN pip --python /opt/bulkqa/bin/python install --require-hashes -r /lists/producer.txt \
    && cd /opt/bulkqa/lib/python*/site-packages && rm -rf $UNUSED

FROM deps AS worker-deps
COPY requirements/worker.txt /lists/
RUN pip --python /opt/bulkqa/bin/python install --require-hashes -r /lists/worker.txt \
    && cd /opt/bulkqa/lib/python*/site-packages && rm -rf $UNUSED

# Shared by both images. The uid is fixed and numeric: Kubernetes can verify that it is not root, and both images
# can write to the same volume. A new volume takes its owner from /storage here.
FROM python:${PYTHON}-slim AS runtime
# The base image has no bytecode of the standard library, and a read-only root cannot keep any: without it each probe
# compiles what it imports.
RUN python -m compileall -q -x '/(test|tests|idlelib|turtledemo|lib2to3|ensurepip|site-packages)/' /usr/local/lib/python3*
RUN groupadd --gid 10001 bulkqa \
    && useradd --uid 10001 --gid bulkqa --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bulkqa \
    && install -d -o bulkqa -g bulkqa /storage /data /uploads
ENV PATH=/opt/bulkqa/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BULKQA_STORAGE_URL=/storage
# The user's files are mounted here, so that `submit questions.csv` finds them.
WORKDIR /data

FROM runtime AS producer
COPY --from=producer-deps /opt/bulkqa /opt/bulkqa
COPY --from=wheel /dist /dist
RUN pip --python /opt/bulkqa/bin/python --no-cache-dir install --no-deps --no-index /dist/*.whl
USER 10001:10001
ENTRYPOINT ["producer"]
CMD ["--help"]

FROM runtime AS worker
COPY --from=worker-deps /opt/bulkqa /opt/bulkqa
# Before the code, because it changes less often. To use another model, put its directory into models/ and name it here.
ARG MODEL=minilm-l6-qa
COPY --chmod=755 models/${MODEL} /models/${MODEL}
# Nothing is downloaded at run time: a worker works without internet access, and its model cannot change.
ENV BULKQA_MODEL_DIR=/models/${MODEL} ORT_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_TELEMETRY=1 \
    BULKQA_LOG_FORMAT=json \
    HF_HUB_OFFLINE=1 \
    TRANSFORMERS_VERBOSITY=error
COPY --from=wheel /dist /dist
RUN pip --python /opt/bulkqa/bin/python --no-cache-dir install --no-deps --no-index /dist/*.whl
USER 10001:10001
# An invalid model fails the build, not the first job. `worker sweep` uses this image too.
RUN worker info > /dev/null
ENTRYPOINT ["worker"]
CMD ["start"]
