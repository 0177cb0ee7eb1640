"""What a user does with Docker's SDK for Python: each check prints one line of JSON, what it was and what it saw.

usage: sdk.py IMAGE, with DOCKER_HOST set
"""
import io
import json
import sys
import tarfile

import docker
from docker.types import Mount

IMAGE = sys.argv[1]
client = docker.from_env()
made = []


def run(command, **options):
    c = client.containers.run(IMAGE, command, detach=True, **options)
    made.append(c)
    return c


def version():
    return [docker.__version__, client.ping(), client.version()["Os"]]


def foreground():
    return client.containers.run(IMAGE, ["echo", "hello"], remove=True).decode()


def failing():
    try:
        client.containers.run(IMAGE, ["sh", "-c", "echo no >&2; exit 3"], remove=True)
    except docker.errors.ContainerError as e:
        return [e.exit_status, e.stderr.decode()]


def detached():
    c = run(["sleep", "1000"], name="sdk-detached", labels={"sdk": "yes"})
    return [c.name, c.status, [x.name for x in client.containers.list(filters={"label": "sdk=yes"})]]


def waiting():
    return run(["sh", "-c", "sleep 0.3; exit 4"]).wait()["StatusCode"]


def logs():
    c = run(["sh", "-c", "echo 1; echo 2 >&2; echo 3"])
    c.wait()
    return [c.logs(stderr=False).decode(), c.logs(stdout=False).decode()]


def following():
    c = run(["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"])
    return [line.decode() for line in c.logs(stream=True, follow=True)]


def executing():
    c = client.containers.get("sdk-detached")
    code, (out, err) = c.exec_run(["sh", "-c", "echo $A; echo err >&2; exit 5"], environment={"A": "b"}, demux=True)
    return [code, out.decode(), err.decode()]


def hijacked():
    """Standard input over the raw connection."""
    c = client.containers.get("sdk-detached")
    e = client.api.exec_create(c.id, ["sh", "-c", "read a; echo got $a"], stdin=True)["Id"]
    sock = client.api.exec_start(e, socket=True)
    raw = getattr(sock, "_sock", sock)
    raw.sendall(b"word\n")
    answer = b""
    while True:
        part = raw.recv(4096)
        if not part:
            break
        answer += part
    return [answer[8:].decode(), client.api.exec_inspect(e)["ExitCode"]]


def archives():
    c = client.containers.get("sdk-detached")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as t:
        info = tarfile.TarInfo("file")
        info.size = 5
        t.addfile(info, io.BytesIO(b"text\n"))
    put = c.put_archive("/tmp", data.getvalue())
    stream, stat = c.get_archive("/tmp/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as t:
        return [put, stat["size"], t.extractfile("file").read().decode()]


def stats():
    return client.containers.get("sdk-detached").stats(stream=False)["pids_stats"]["current"]


def top():
    return client.containers.get("sdk-detached").top(ps_args="-eo pid,args")["Processes"][0][1]


def committed():
    c = run(["sh", "-c", "echo new >/new"])
    c.wait()
    image = c.commit("sdk", "made")
    seen = client.containers.run("sdk:made", ["cat", "/new"], remove=True).decode()
    client.images.remove(image.id, force=True)
    return seen


def built():
    image, log = client.images.build(fileobj=io.BytesIO(b"FROM %s\nARG A\nRUN echo $A >/a\n" % IMAGE.encode()), tag="sdk:built", buildargs={"A": "b"}, rm=True)
    seen = client.containers.run("sdk:built", ["cat", "/a"], remove=True).decode()
    client.images.remove("sdk:built")
    return [image.tags, seen]


def failed_build():
    try:
        client.images.build(fileobj=io.BytesIO(b"FROM %s\nRUN exit 6\n" % IMAGE.encode()), rm=True)
    except docker.errors.BuildError as e:
        return "returned a non-zero code: 6" in str(e)


def saved():
    tar = b"".join(client.images.get(IMAGE).save(named=True))
    return [image.tags[0].split(":")[0] for image in client.images.load(tar)]


def volumes():
    v = client.volumes.create("sdk", labels={"sdk": "yes"})
    client.containers.run(IMAGE, ["sh", "-c", "echo kept >/v/f"], mounts=[Mount("/v", "sdk")], remove=True)
    seen = client.containers.run(IMAGE, ["cat", "/v/f"], volumes={"sdk": {"bind": "/v", "mode": "ro"}}, remove=True).decode()
    listed = [x.name for x in client.volumes.list(filters={"label": "sdk=yes"})]
    v.remove()
    return [seen, listed]


def networks():
    n = client.networks.create("sdk")
    server = client.containers.create(IMAGE, ["sh", "-c", "echo page >/index.html; exec httpd -f -p 80 -h /"])
    made.append(server)
    n.connect(server, aliases=["web"])
    server.start()
    seen = client.containers.run(IMAGE, ["sh", "-c", "until wget -qO- http://web/; do :; done"], network="sdk", remove=True).decode()
    server.remove(force=True)
    n.remove()
    return seen


def ports():
    c = run(["sleep", "1000"], ports={"80/tcp": ("127.0.0.1", None)})
    c.reload()
    [binding] = c.ports["80/tcp"]
    return [binding["HostIp"], int(binding["HostPort"]) > 0]


def events():
    c = run(["true"], name="sdk-events")
    c.wait()
    seen = []
    for e in client.events(decode=True, filters={"container": "sdk-events"}, since=0):
        seen.append(e["Action"])
        if e["Action"] == "die":
            return seen


def missing():
    seen = []
    for get, what in [(client.containers.get, "no-such"), (client.images.get, "no/such"), (client.volumes.get, "no-such"), (client.networks.get, "no-such")]:
        try:
            get(what)
        except docker.errors.NotFound as e:
            seen.append(e.status_code)
    return seen


def disk():
    return sorted(k for k in client.df() if k in ("Images", "Containers", "Volumes", "BuildCache"))


checks = [
    version, foreground, failing, detached, waiting, logs, following, executing, hijacked, archives, stats, top, committed, built,
    failed_build, saved, volumes, networks, ports, events, missing, disk,
]
try:
    for check in checks:
        try:
            seen = check()
        except Exception as e:  # the next one is to be seen, too
            seen = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps({"check": check.__name__, "saw": seen}), flush=True)
finally:
    for c in made:
        try:
            c.remove(force=True, v=True)
        except docker.errors.NotFound:
            pass
