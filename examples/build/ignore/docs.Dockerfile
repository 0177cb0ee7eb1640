# Only the documents: docs.Dockerfile.dockerignore leaves out all else.
FROM scratch
COPY . /
