"""The files for those who run Farebox agree with the configuration they mount, the image and Farebox."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config.load import load
from tests.readme import environments, served
from tests.sources import ROOT

CONFIG = ROOT / "config"
MOUNTED = "/etc/farebox/farebox.yaml"
MARGIN_SECONDS = 15
"""What the README says a process may need beyond `server.drain_seconds`."""
MANIFESTS = [("kubernetes.yaml", "fleet"), ("sidecar/pod.yaml", "sidecar")]


def variables(file: Path) -> set[str]:
    """The variables that a configuration cannot do without."""
    return set(re.findall(r"\$\{(\w+)\}", file.read_text("utf-8")))


def drain_seconds(file: Path) -> float:
    """What a drain may take with a configuration, all of whose variables are set."""
    return load(file, environments(file.read_text("utf-8"))[0]).server.drain_seconds


def compose() -> dict[str, Any]:
    text = (CONFIG / "compose.yaml").read_text("utf-8")
    whole: dict[str, Any] = yaml.safe_load(text)
    return whole


def fareboxes() -> list[dict[str, Any]]:
    return [service for name, service in compose()["services"].items() if name.startswith("farebox")]


def pods(name: str) -> Iterator[dict[str, Any]]:
    """The pod specifications of a manifest."""
    for document in yaml.safe_load_all((CONFIG / name).read_text("utf-8")):
        if document["kind"] in {"Deployment", "StatefulSet"}:
            yield document["spec"]["template"]["spec"]


def farebox_of(pod: dict[str, Any]) -> dict[str, Any]:
    """The container of a pod that is Farebox's."""
    [found] = [
        container
        for container in (*pod.get("initContainers", ()), *pod["containers"])
        if container["image"] == "farebox"
    ]
    return dict(found)


def test_compose_runs_two_fareboxes_on_one_database() -> None:
    """Each mounts the fleet's configuration and has every variable that it needs."""
    assert len(fareboxes()) == 2
    for service in fareboxes():
        [volume] = service["volumes"]
        source, target, _ = volume.split(":")
        assert target == MOUNTED
        assert variables(CONFIG / source) <= service["environment"].keys()
    databases = {service["environment"]["FAREBOX_DATABASE_URL"] for service in fareboxes()}
    assert len(databases) == 1


def test_compose_gives_a_drain_its_time() -> None:
    """A Farebox is not killed before it may be done."""
    for service in fareboxes():
        grace = float(service["stop_grace_period"].removesuffix("s"))
        assert grace >= drain_seconds(CONFIG / "fleet/farebox.yaml") + MARGIN_SECONDS


def test_the_balancer_knows_every_farebox_and_asks_whether_it_is_ready() -> None:
    """TCP all the way, and the check is of a path that Farebox serves."""
    text = (CONFIG / "fleet/haproxy.cfg").read_text("utf-8")
    names = [name for name in compose()["services"] if name.startswith("farebox")]
    assert re.findall(r"^    server (\S+) (\S+):8080$", text, re.MULTILINE) == [
        (name, name) for name in names
    ]
    [(method, path)] = re.findall(r"option httpchk (\S+) (\S+)", text)
    assert (method, path) in served()
    assert "mode tcp" in text


def test_every_file_that_compose_mounts_is_there() -> None:
    """Else it would make folders of those names."""
    for service in compose()["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (CONFIG / source).is_file()


@pytest.mark.parametrize(("name", "folder"), MANIFESTS)
def test_a_pod_gets_the_time_for_its_pause_and_its_drain(name: str, folder: str) -> None:
    """It is not killed before it may be done."""
    for pod in pods(name):
        pause = (
            farebox_of(pod).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", 0])[1]
        )
        wanted = float(pause) + drain_seconds(CONFIG / folder / "farebox.yaml") + MARGIN_SECONDS
        assert pod["terminationGracePeriodSeconds"] >= wanted


@pytest.mark.parametrize(("name", "folder"), MANIFESTS)
def test_a_pod_mounts_the_configuration_and_asks_paths_that_are_served(name: str, folder: str) -> None:
    """And what the commands in its comment make is what it refers to."""
    text = (CONFIG / name).read_text("utf-8")
    assert f"--from-file config/{folder}/farebox.yaml" in text
    given = set(re.findall(r"--from-literal (\w+)=", text))
    assert variables(CONFIG / folder / "farebox.yaml") <= given
    for pod in pods(name):
        container = farebox_of(pod)
        assert str(Path(MOUNTED).parent) in [mount["mountPath"] for mount in container["volumeMounts"]]
        probes = [probe for key, probe in container.items() if key.endswith("Probe")]
        assert probes
        for probe in probes:
            asked = probe["httpGet"]["path"] if "httpGet" in probe else shlex.join(probe["exec"]["command"])
            assert any(path in asked for method, path in served() if method == "GET" and path.endswith("z"))


@pytest.mark.parametrize(("name", "folder"), MANIFESTS)
def test_a_pod_runs_as_nobody_and_writes_only_where_it_must(name: str, folder: str) -> None:
    """No root, no new privileges, and a root file system that cannot be written."""
    for pod in pods(name):
        assert pod["securityContext"]["runAsNonRoot"] is True
        context = farebox_of(pod)["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_image_can_talk_to_postgresql_and_stripe() -> None:
    """The fleet's configuration asks for the one, payments may for the other."""
    assert "[postgres,stripe]" in (ROOT / "Dockerfile").read_text("utf-8")
