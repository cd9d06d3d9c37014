# Two images from one file: `producer` (no model runtime) and `worker` (onnxruntime and a baked-in model; no torch).
#   docker compose build        or one by hand:  docker build --target worker -t bulkqa-worker .
# Dependencies stand in layers of their own, so a change of code reinstalls none of them.
ARG PYTHON=3.12

# What to install, read from pyproject.toml. A stage of its own: the layers below depend on what these lists say, so an
# edit elsewhere in pyproject.toml (lint rules, description) does not invalidate them.
FROM python:${PYTHON}-slim AS requirements
WORKDIR /lists
# The glob makes the file optional: without it the newest versions are taken.
COPY pyproject.toml constraints.tx[t] ./
RUN touch constraints.txt && python -c "import tomllib, pathlib; \
    p = tomllib.load(open('pyproject.toml', 'rb')); \
    extras = p['project']['optional-dependencies']; \
    lists = {'build': p['build-system']['requires'], 'base': p['project']['dependencies'], \
        'producer': p['project']['dependencies'] + extras['web'], 'worker': extras['worker'] + extras['notify'] + extras['metrics']}; \
    [pathlib.Path(name + '.txt').write_text('\n'.join(lines) + '\n') for name, lines in lists.items()]"

# The code as a wheel: a few kilobytes, the only thing that a change of code makes anew. It is copied rather than
# mounted where it is installed: Podman's cache does not notice that a mounted file has changed.
FROM python:${PYTHON}-slim AS wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY --from=requirements /lists/build.txt /lists/
RUN pip install -r /lists/build.txt
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENS[E] ./
COPY contract contract
COPY producer producer
COPY worker worker
# The model has a layer of its own, in the image of the worker alone.
ENV WHEEL_WITHOUT_MODEL=1
RUN pip wheel --no-deps --no-build-isolation -w /dist .

# Virtual environments with the dependencies alone. They hold no pip: the base image's is used on them.
FROM python:${PYTHON}-slim AS base-deps
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip /opt/bulkqa
COPY --from=requirements /lists/constraints.txt /lists/base.txt /lists/
RUN pip --python /opt/bulkqa/bin/python install -c /lists/constraints.txt -r /lists/base.txt

FROM base-deps AS producer-deps
COPY --from=requirements /lists/producer.txt /lists/
RUN pip --python /opt/bulkqa/bin/python install -c /lists/constraints.txt -r /lists/producer.txt

FROM base-deps AS worker-deps
COPY --from=requirements /lists/worker.txt /lists/
RUN pip --python /opt/bulkqa/bin/python install -c /lists/constraints.txt -r /lists/base.txt -r /lists/worker.txt

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
