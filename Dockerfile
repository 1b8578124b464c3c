# The image runs Farebox on a configuration mounted at /etc/farebox/farebox.yaml, which has to listen on 0.0.0.0:8080
# and keep an SQLite database in /var/lib/farebox:
#
#   docker build -t farebox .
#   docker run -p 8080:8080 -v ./farebox.yaml:/etc/farebox/farebox.yaml:ro -v farebox:/var/lib/farebox farebox

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY proxy ./proxy
RUN pip wheel --no-deps --wheel-dir /dist .
RUN python -m venv /opt/venv && /opt/venv/bin/pip install "$(ls /dist/farebox-*.whl)[postgres,stripe]"

FROM python:3.13-slim
RUN groupadd --gid 10001 farebox \
 && useradd --uid 10001 --gid farebox --no-create-home --home-dir /var/lib/farebox \
            --shell /usr/sbin/nologin farebox \
 && install --directory --owner=farebox --group=farebox --mode=0750 /var/lib/farebox \
 && install --directory /etc/farebox
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By number, so that an orchestrator which demands a non-root user can tell.
USER 10001:10001
WORKDIR /var/lib/farebox
# The vocabularies are inside the image: a missing or altered one is found here, not by the first call that needs it.
RUN --network=none python -c "from proxy.metering.vocabulary import CARRIED, SHARED; SHARED.preload(CARRIED)"

# After everything that is written to the folder: what a later step changed in a volume would be lost.
VOLUME /var/lib/farebox
EXPOSE 8080
STOPSIGNAL SIGTERM
# Without the proxies of the environment, which would be asked for 127.0.0.1 too.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["farebox"]
CMD ["serve", "/etc/farebox/farebox.yaml"]
