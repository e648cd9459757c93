# lawful with everything a study on a CPU needs. Not built in CI.
#   docker build -t lawful .
#   docker run --rm -v "$PWD:/work" lawful run quickstart
# For a GPU, set INDEX to the index of PyTorch's own page for your CUDA.
FROM python:3.12-slim
ARG INDEX=
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN PIP_CONSTRAINT=constraints.txt PIP_EXTRA_INDEX_URL="$INDEX" pip install --no-cache-dir --constraint constraints.txt ".[train]" \
    && useradd --create-home lawful
USER lawful
WORKDIR /work
ENTRYPOINT ["lawful"]
CMD ["--help"]
