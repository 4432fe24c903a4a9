# The program as an image: built in one stage, run in another without build tools, as a user of its own.
FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/realname
COPY requirements.image.lock .
RUN /opt/realname/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement requirements.image.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY schemas schemas
COPY deploy/config deploy/config
COPY deploy/access.toml deploy/access.toml
COPY streams streams
RUN /opt/realname/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && cd / && /opt/realname/bin/python -c 'from streams.stages.match import warm_up; warm_up()'

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home realname
COPY --from=build /opt/realname /opt/realname
ENV PATH=/opt/realname/bin:$PATH PYTHONUNBUFFERED=1
# Machine code of the hot path is copied there, and made anew on another kind of processor.
ENV XDG_CACHE_HOME=/tmp
USER 10001
ENTRYPOINT ["realname"]
CMD ["--help"]
