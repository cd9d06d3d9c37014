# Two images from one file: `producer` (no model runtime) and `worker` (onnxruntime and a baked-in model; no torch).
#   docker compose build        or one by hand:  docker build --target worker -t bulkqa-worker .
# Dependencies stand in layers of their own, so a change of code reinstalls none of them. Both can use object storage.
ARG PYTHON=3.12

# The code as a wheel: a few kilobytes, the only thing that a change of code makes anew. It is copied rather than
# mounted where it is installed: Podman's cache does not notice that a mounted file has changed.
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
# The model has a layer of its own, in the image of the worker alone.
ENV WHEEL_WITHOUT_MODEL=1
RUN pip wheel --no-deps --no-build-isolation -w /dist .

# Virtual environments with the dependencies alone, those of the lock, whose hashes are checked. They hold no pip: the
# base image's is used on them. UNUSED is what nothing here loads, 80 MB: Arrow's Flight, its own S3, headers; tests.
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

# What both images share. The uid is fixed and numeric: Kubernetes can then tell that it is not root, and a volume that
# is written by one image can be written by the other. A new volume takes over the owner of /storage from here.
FROM python:${PYTHON}-slim AS runtime
RUN groupadd --gid 10001 bulkqa \
    && useradd --uid 10001 --gid bulkqa --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bulkqa \
    && install -d -o bulkqa -g bulkqa /storage /data /uploads
ENV PATH=/opt/bulkqa/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BULKQA_STORAGE_URL=/storage
# Where the user's files are mounted, so that `submit questions.csv` finds them.
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
# Before the code, because it changes less often. Another model: put its directory into models/ and name it here.
ARG MODEL=minilm-l6-qa
COPY --chmod=755 models/${MODEL} /models/${MODEL}
# Nothing is to be fetched at run time: a worker without a network to the outside works, and one with it cannot drift.
ENV BULKQA_MODEL_DIR=/models/${MODEL} \
    BULKQA_LOG_FORMAT=json \
    HF_HUB_OFFLINE=1 \
    TRANSFORMERS_VERBOSITY=error
COPY --from=wheel /dist /dist
RUN pip --python /opt/bulkqa/bin/python --no-cache-dir install --no-deps --no-index /dist/*.whl
USER 10001:10001
# A refused model fails the build, not the first job. `worker sweep` runs from this image too.
RUN worker info > /dev/null
ENTRYPOINT ["worker"]
CMD ["start"]
