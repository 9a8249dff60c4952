"""The files of docker/, checked without Docker and without Kubernetes."""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from sweeps.run import main
from tests.docker.compose import COMPOSE, resolved

DOCKER = COMPOSE.parent
ROOT = DOCKER.parent
DOCKERFILE = DOCKER / "Dockerfile"
KUBERAY_SCHEMA = Path(__file__).parent / "kuberay-1.7.0.schema.json"
KUBERNETES = "1.34"
_PROGRAMS = Path(sys.executable).parent


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_dockerfile_is_clean() -> None:
    done = run(
        str(_PROGRAMS / "hadolint"), "--no-color", "--failure-threshold", "info", str(DOCKERFILE)
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_dockerfile_copies_what_there_is_and_what_is_not_ignored() -> None:
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.M)
    sources = [source for line in copied for source in line.split()]
    assert len(sources) == 11
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
    assert ignored[0] == "*"


def test_the_last_stage_has_no_build_tools_and_another_user_than_root() -> None:
    last = DOCKERFILE.read_text().split("\nFROM ")[-1]
    assert not re.search(r"pip install|uv |gcc|build-essential|-dev\b", last)
    assert "USER 10001:10001" in last
    assert last.index("USER ") > last.rindex("RUN ")


def test_the_lock_is_split_as_the_dockerfile_says() -> None:
    """Run its two awk programs: only torch and torchvision lose their hashes, uv keeps its own."""
    tool, constraints = re.findall(r"awk '([^']+)'", DOCKERFILE.read_text())
    tools = (ROOT / "requirements-dev.lock").read_text()
    lock = (ROOT / "requirements.lock").read_text() + tools
    only_uv = run("awk", tool, input=tools).stdout
    assert re.match(r"uv==\S+ \\\n    --hash=sha256:", only_uv)
    assert len(re.findall(r"^\S+==", only_uv, re.M)) == 1
    made = run("awk", constraints, input=lock).stdout
    blocks = [re.split(r" *\\?\n", block)[0] for block in re.split(r"\n(?=\S)", lock)]
    assert re.findall(r"^\S+==\S+", made, re.M) == [re.split(" ", block)[0] for block in blocks]
    for name in ("torch", "torchvision"):
        assert re.search(rf"^{name}==[\d.]+\n\S", made, re.M)
    assert made.count("--hash") == lock.count("--hash") - sum(
        block.count("--hash")
        for block in re.split(r"\n(?=\S)", lock)
        if block.startswith("torch") and block.split("==")[0] in ("torch", "torchvision")
    )


def test_the_compose_file_follows_the_specification() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    done = run(str(_PROGRAMS / "check-jsonschema"), *schema, str(COMPOSE))
    assert done.returncode == 0, done.stdout


def test_the_compose_file_publishes_on_the_loopback_unless_asked() -> None:
    published = [
        port for service in resolved({})["services"].values() for port in service.get("ports", ())
    ]
    assert published == ["127.0.0.1:5000:5000", "127.0.0.1:8265:8265"]
    asked = resolved({"BIND_ADDRESS": "10.0.0.5"})["services"]
    assert asked["head"]["ports"] == ["10.0.0.5:8265:8265"]
    assert not any("network_mode" in service for service in asked.values())


def test_what_the_services_of_the_compose_file_have() -> None:
    file = resolved({})
    services = file["services"]
    assert list(services) == ["postgres", "mlflow", "head", "worker", "worker-gpu"]
    for service in services.values():
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["cap_drop"] == ["ALL"]
        assert set(service["secrets"]) <= set(file["secrets"])
    for name in ("head", "worker", "worker-gpu"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert services[name]["volumes"] == ["storage:/storage"]
        assert not any("AWS" in given for given in services[name]["environment"])
        handed_on = resolved({"AWS_ENDPOINT_URL": "http://s3:9000"})["services"][name]
        assert handed_on["environment"]["AWS_ENDPOINT_URL"] == "http://s3:9000"
    assert "--app-name=basic-auth" in services["mlflow"]["command"]
    assert services["worker-gpu"]["profiles"] == ["gpu"]
    assert services["worker-gpu"]["build"]["args"]["DEVICE"] == "cuda"
    # Secrets are in files only: nothing that is named like one has a value in the text.
    for service in services.values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|TOKEN", name):
                assert re.fullmatch(r".*_(FILE|PATH)", name), name
                assert value.startswith("/run/secrets/"), name


def test_secrets_are_made_once_and_are_random(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_bytes((DOCKER / "make-secrets.sh").read_bytes())
    assert run("sh", str(script)).returncode == 0
    made = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(resolved({})["secrets"])
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in made.values())
    assert len(set(made.values())) == len(made)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    (tmp_path / "secrets" / "ray_token").unlink()
    assert run("sh", str(script)).returncode == 0
    again = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert {name for name in made if made[name] != again[name]} == {"ray_token"}
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text().split()


def test_the_entrypoint_knows_the_secrets_of_all_services() -> None:
    names = {
        name.removesuffix("_FILE")
        for service, given in resolved({})["services"].items()
        for name in given["environment"]
        if name.endswith("_FILE") and service != "postgres"  # its own image reads its own
    }
    listed = re.search(
        r"^for name in (.+?); do$", (DOCKER / "entrypoint.sh").read_text(), re.M | re.S
    )
    assert listed is not None
    assert set(listed[1].replace("\\", " ").split()) == names


def test_one_service_builds_the_image_and_memory_is_one_number() -> None:
    services = resolved({"WORKER_MEMORY": "64gb"})["services"]
    assert [name for name in services if "build" in services[name]] == ["mlflow", "worker-gpu"]
    for name in ("mlflow", "head", "worker", "worker-gpu"):
        assert services[name]["pull_policy"] == "never"
        assert services[name]["read_only"] is True
    for name, limit in (("head", "8gb"), ("worker", "64gb"), ("worker-gpu", "64gb")):
        assert services[name]["mem_limit"] == services[name]["shm_size"] == limit


def test_the_entrypoint_reads_secrets_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('it\'s a $(secret) "text"\n')
    entrypoint = ["/bin/sh", str(DOCKER / "entrypoint.sh")]
    # What others mean as a file stays one, however large it is.
    (tmp_path / "bundle").write_text("x" * 300_000)
    others = {
        name: str(tmp_path / "bundle")
        for name in ("SSL_CERT_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SHARED_CREDENTIALS_FILE")
    }
    shown = "import json, os; print(json.dumps(dict(os.environ)))"
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD_FILE": str(tmp_path / "secret")}
    done = run(*entrypoint, sys.executable, "-c", shown, env=environment | others)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["PGPASSWORD"] == 'it\'s a $(secret) "text"'
    assert {name: value for name, value in seen.items() if name.endswith("_FILE")} == others
    (tmp_path / "secret").write_text("")
    done = run(*entrypoint, "true", env=environment)
    assert done.returncode == 2
    assert f"PGPASSWORD_FILE is {tmp_path / 'secret'}, which cannot be read" in done.stderr


# -- Kubernetes -----------------------------------------------------------------------------------


@functools.cache
def built(folder: str) -> tuple[dict[str, Any], ...]:
    """Build a folder of docker/kubernetes as `kubectl apply --kustomize` does."""
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    done = run("kubectl", "kustomize", str(DOCKER / "kubernetes" / folder))
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def the(kind: str, folder: str) -> dict[str, Any]:
    (found,) = [manifest for manifest in built(folder) if manifest["kind"] == kind]
    return copy.deepcopy(found)


def pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The pod templates of a cluster of Ray, the head's first."""
    spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    return [group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def check_manifest(manifest: dict[str, Any]) -> None:
    """Check against the schemas of Kubernetes and of KubeRay's CRDs."""
    if manifest["apiVersion"] == "ray.io/v1":
        jsonschema.validate(manifest, json.loads(KUBERAY_SCHEMA.read_text()))
        for pod in pods(manifest):
            named = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **pod}
            kubernetes_validate.validate(named, KUBERNETES, strict=True)
    else:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("folder", "kinds"),
    [
        ("base", ["PersistentVolumeClaim", "RayCluster"]),
        ("gpu", ["PersistentVolumeClaim", "RayCluster"]),
        ("bucket", ["RayCluster"]),
        ("job", ["ConfigMap", "PersistentVolumeClaim", "RayJob"]),
        (
            "services",
            ["ConfigMap", *["Service"] * 2, "PersistentVolumeClaim", "Deployment", "StatefulSet"],
        ),
    ],
)
def test_the_manifests_follow_the_schemas(folder: str, kinds: list[str]) -> None:
    assert [manifest["kind"] for manifest in built(folder)] == kinds
    for manifest in built(folder):
        check_manifest(manifest)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "headGroupSpecs"), {}),
        (("spec", "workerGroupSpecs", 0, "replicas"), "2"),
        (("spec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "headGroupSpec", "template", "spec", "contaners"), []),
        (("spec", "workerGroupSpecs", 0, "template", "spec", "volumes", 0, "name"), 3),
    ],
)
def test_a_slip_in_a_manifest_is_found(path: tuple[str | int, ...], value: object) -> None:
    cluster: Any = the("RayCluster", "base")
    node = cluster
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check_manifest(cluster)


@pytest.mark.parametrize(
    ("folder", "kind", "shared"),
    [
        ("base", "RayCluster", True),
        ("gpu", "RayCluster", True),
        ("bucket", "RayCluster", False),
        ("job", "RayJob", True),
    ],
)
def test_the_clusters_fit_the_project(folder: str, kind: str, *, shared: bool) -> None:
    manifest = the(kind, folder)
    cluster = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    assert cluster["rayVersion"] == version("ray")
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["enableInTreeAutoscaling"] is True
    (group,) = cluster["workerGroupSpecs"]
    assert 1 <= group["minReplicas"] <= group["replicas"] < group["maxReplicas"]
    for pod in pods(manifest):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["spec"]["containers"]
        mounted = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
        assert mounted == (["/storage"] if shared else [])
        assert container["envFrom"][0]["secretRef"]["optional"] == shared
    limits = pods(manifest)[1]["spec"]["containers"][0]["resources"]["limits"]
    assert ("nvidia.com/gpu" in limits) == (folder == "gpu")


def test_the_job_runs_the_sweep_of_its_file_and_goes_on() -> None:
    job = the("RayJob", "job")["spec"]
    assert job["shutdownAfterJobFinishes"] is True
    assert job["backoffLimit"] == 3
    entrypoint = string.Template(job["entrypoint"]).substitute(the("ConfigMap", "job")["data"])
    python, _, module, *arguments = shlex.split(entrypoint)
    assert (python, module) == ("python", "sweeps.run")
    assert main([*arguments, "--dry-run"]) == 0
    head = pods({"spec": job})[0]["spec"]["containers"][0]
    assert head["envFrom"][1] == {"configMapRef": {"name": "saliency-sweep"}}


def test_the_services_are_those_of_the_compose_file() -> None:
    compose = resolved({})["services"]
    names = [m["metadata"]["name"] for m in built("services") if m["kind"] == "Service"]
    assert sorted(names) == ["mlflow", "postgres"]
    sql = (DOCKER / "postgres-init.sql").read_text()
    wanted = [line for line in sql.splitlines() if not line.startswith("--")]
    assert the("ConfigMap", "services")["data"]["init.sql"] == " ".join(wanted)
    for name, kind in (("postgres", "StatefulSet"), ("mlflow", "Deployment")):
        (container,) = the(kind, "services")["spec"]["template"]["spec"]["containers"]
        theirs = {given["name"] for given in container["env"]}
        ours = {key.removesuffix("_FILE") for key in compose[name]["environment"]}
        assert theirs == ours
    allowed = [
        part for part in container["args"] if part.startswith("--allowed-hosts=mlflow:5000,")
    ]
    assert len(allowed) == 1
    assert container["args"][:2] == compose["mlflow"]["command"][:2]
