# syntax=docker/dockerfile:1
# The operator and its command line. Build it at the top of the repository:
#   docker build --tag registry.example.com/team/videollm-operator:0.1.0 .
# Both bases are pinned by digest and have Python 3.13 on Debian 13, so compiled packages fit.

FROM python:3.13-slim-trixie@sha256:3dd7cc108ec1493442514f5c2a871af6af0ec31d768ff6e378a93340c3b3db5f AS build

# The final image has its interpreter in /usr/bin. With one of the same name here, the virtual
# environment points to a place that exists in both.
RUN ln -s /usr/local/bin/python3.13 /usr/bin/python3.13 \
    && /usr/bin/python3.13 -m venv --without-pip /opt/videollm

WORKDIR /source
COPY hack/image-constraints.txt constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
# PIP_CONSTRAINT, unlike `--constraint`, also holds for the tools that build the wheel.
RUN PIP_CONSTRAINT=/source/constraints.txt \
    pip --python /opt/videollm/bin/python install --no-cache-dir --disable-pip-version-check \
    ".[operator]"

FROM gcr.io/distroless/python3-debian13:nonroot@sha256:83aa8d4f74a4d7f7cf2d472054139bef71a927b76c680c0f2e1021d6b1d6d732

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="VideoLLM operator" \
      org.opencontainers.image.description="Runs video language models on Kubernetes: sizes GPUs, templates the engine, reports in status" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /opt/videollm /opt/videollm
COPY LICENSE /licenses/LICENSE

# Nothing is written at run time, so the root file system may be read-only.
ENV PATH=/opt/videollm/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["videollm"]
CMD ["--help"]
