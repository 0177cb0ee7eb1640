// What a user does with testcontainers for Node; each case prints a line.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GenericContainer, Network, Wait } from "testcontainers";

const image = process.argv[2];
const sleeping = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"];
const page = ["sh", "-c", "echo page >/index.html; exec httpd -f -p 80 -h /"];

async function port() {
  const c = await new GenericContainer(image).withCommand(page).withExposedPorts(80).withWaitStrategy(Wait.forHttp("/index.html", 80)).start();
  const answer = await fetch(`http://${c.getHost()}:${c.getMappedPort(80)}/index.html`);
  const text = (await answer.text()).trim();
  await c.stop();
  return text;
}

async function log() {
  const c = await new GenericContainer(image).withCommand(["sh", "-c", "sleep 1; echo ready; sleep 100"]).withWaitStrategy(Wait.forLogMessage("ready")).start();
  await c.stop({ timeout: 0 });
  return "ready";
}

async function exec() {
  const c = await new GenericContainer(image).withCommand(sleeping).withCopyContentToContainer([{ content: "copied", target: "/tmp/file" }]).start();
  const { output, exitCode } = await c.exec(["sh", "-c", "cat /tmp/file; exit 7"]);
  await c.stop();
  return `${exitCode} ${output.trim()}`;
}

async function network() {
  const n = await new Network().start();
  const server = await new GenericContainer(image).withCommand(page).withNetwork(n).withNetworkAliases("server").start();
  const c = await new GenericContainer(image).withCommand(sleeping).withNetwork(n).start();
  const { output } = await c.exec(["sh", "-c", "until wget -qO- http://server/; do :; done"]);
  await c.stop();
  await server.stop({ timeout: 0 });
  await n.stop();
  return output.trim();
}

async function build() {
  const dir = mkdtempSync(join(tmpdir(), "context-"));
  writeFileSync(join(dir, "Dockerfile"), `FROM ${image}\nARG WORD\nRUN echo $WORD >/word\nCMD ["sh","-c","cat /word; sleep 100"]\n`);
  const c = await (await GenericContainer.fromDockerfile(dir).withBuildArgs({ WORD: "argument" }).build()).withWaitStrategy(Wait.forLogMessage("argument")).start();
  await c.stop({ timeout: 0 });
  return "argument";
}

for (const [name, does] of Object.entries({ port, log, exec, network, build })) {
  let seen;
  try {
    seen = await does();
  } catch (e) {
    seen = `error: ${e}`;
  }
  console.log(`${name}: ${seen}`);
}
