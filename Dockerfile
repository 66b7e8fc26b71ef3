# Image of Workbell. By default it runs all roles on SQLite (`workbell up`); compose.yaml runs the
# same image as api, worker and scheduler.

FROM python:3.13-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/workbell
COPY requirements/all.txt requirements/
RUN /opt/workbell/bin/pip install --require-hashes -r requirements/all.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/workbell/bin/pip install --no-build-isolation --no-deps .

FROM python:3.13-slim
RUN groupadd --gid 10001 workbell \
    && useradd --uid 10001 --gid workbell --home-dir /data --no-create-home workbell \
    && install -d -o workbell -g workbell -m 0700 /data
COPY --from=build /opt/workbell /opt/workbell
ENV PATH=/opt/workbell/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    WORKBELL_HOST=0.0.0.0 \
    WORKBELL_DATA_DIR=/data \
    WORKBELL_LOG_FORMAT=json
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:${WORKBELL_PORT:-8000}/readyz', timeout=4)"
ENTRYPOINT ["workbell"]
CMD ["up"]
