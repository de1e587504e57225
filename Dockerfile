# The app with the CPU build of PyTorch:
#   docker build -t attnlab .
#   docker run -p 8501:8501 -v attnlab:/data attnlab
FROM python:3.11-slim AS build
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.11-slim
RUN pip install --no-cache-dir "torch>=2.13,<2.16" "torchvision>=0.28,<0.31" --index-url https://download.pytorch.org/whl/cpu
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl

RUN useradd --create-home attnlab && install -d -o attnlab /data
USER attnlab
ENV ATTNLAB_HOME=/data
VOLUME /data
WORKDIR /data
EXPOSE 8501
HEALTHCHECK --start-period=30s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=3)"]
# A container is reached from outside, so it is a classroom; `docker logs` shows the token with which a browser may do everything.
CMD ["attnlab", "app", "--classroom", "--port", "8501", "--no-browser"]
