# colorgan serve, on the CPU:  docker build -t colorgan . && docker run -p 8000:8000 -e COLORGAN_API_KEYS=... colorgan
FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY colorgan colorgan
COPY configs configs
RUN pip install --no-cache-dir ".[serve,fast]" \
 && useradd --create-home colorgan \
 && mkdir /results && chown colorgan /results
USER colorgan
VOLUME /results
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://localhost:8000/healthz')"]
CMD ["colorgan", "serve", "--host", "0.0.0.0", "--results", "/results"]
