/**
 * Four control planes on a thread of their own, so that one that misbehaves spends none of the tests' time:
 * what a test then sees is attaché's. Driven by messages, each of which is answered with an empty one when it
 * is done.
 */
import { randomBytes } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { startDevelopmentServer } from "../../adapters/consul/development/server.ts";
import { startDevelopmentAgent as startIstioAgent } from "../../adapters/istio/development/index.ts";
import { startDevelopmentAgent as startSpireAgent } from "../fixtures/spire-agent/agent.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import { createAuthority } from "../../src/mesh/development/authority.ts";

export type Name = "dc1" | "dc2" | "istio" | "spire";

/**
 * `hangs`: answers nothing. `floods`: pushes what it has, ten thousand times a second. `garbles`: sends
 * noise.
 */
export type Behaviour = "well" | "hangs" | "floods" | "garbles";

export type Request =
  { readonly rotate: Name } | { readonly of: Name; readonly behaviour: Behaviour } | { readonly end: true };

/** What comes first: a mesh's settings, and an identity that it gives. */
export type Peers = Readonly<
  Record<Name, { readonly settings: object; readonly kind: string; readonly identity: object }>
>;

const directory = workerData as string;
const behaviours = new Map<Name, Behaviour>();
const is = (name: Name, behaviour: Behaviour) => behaviours.get(name) === behaviour;

/** What an agent sends in place of `answer`. */
function tamper(name: Name) {
  return <T>(answer: T) => {
    if (is(name, "hangs")) return undefined;
    return is(name, "garbles") ? randomBytes(4_096) : answer;
  };
}

async function startConsul(name: "dc1" | "dc2") {
  const authority = await createAuthority({ trustDomain: `${name}.consul`, clock });
  const server = await startDevelopmentServer({ authority, datacenter: name });
  server.refuse(() => (is(name, "hangs") ? "never" : undefined));
  return {
    kind: "consul",
    identity: { service: "web" },
    settings: { adapter: "consul", ...server.settings },
    rotate: () => authority.rotateRoot(),
    push: () => server.name([{ address: "127.0.0.1", version: "1.16.2" }]),
    end: () => server[Symbol.asyncDispose](),
  };
}

async function startIstio() {
  const agent = await startIstioAgent({
    authority: await createAuthority({ trustDomain: "cluster.local", clock }),
    clock,
    directory,
    namespace: "default",
    serviceAccount: "edge",
    tamper: tamper("istio"),
  });
  return {
    kind: "istio",
    identity: agent.identity,
    settings: { adapter: "istio", ...agent.settings },
    rotate: () => agent.renew(),
    push: () => agent.server?.pushAgain("default"),
    end: () => agent[Symbol.asyncDispose](),
  };
}

async function startSpire() {
  const agent = await startSpireAgent({
    authority: await createAuthority({ trustDomain: "example.org", clock }),
    clock,
    directory,
    entries: [{ id: "spiffe://example.org/edge" }],
    tamper: tamper("spire"),
  });
  return {
    kind: "spiffe",
    identity: agent.identity,
    settings: { adapter: "spiffe", ...agent.settings },
    rotate: () => agent.renew(),
    push: () => agent.server?.pushAgain(),
    end: () => agent[Symbol.asyncDispose](),
  };
}

const running = {
  dc1: await startConsul("dc1"),
  dc2: await startConsul("dc2"),
  istio: await startIstio(),
  spire: await startSpire(),
};

const flood = setInterval(() => {
  for (const [name, behaviour] of behaviours) {
    if (behaviour === "floods") for (let count = 0; count < 50; count += 1) running[name].push();
  }
}, 5);

parentPort?.on(
  "message",
  (request: Request) => void take(request).then(() => parentPort?.postMessage("done")),
);
parentPort?.postMessage(
  Object.fromEntries(
    Object.entries(running).map(([name, { settings, kind, identity }]) => [
      name,
      { settings, kind, identity },
    ]),
  ),
);

async function take(request: Request): Promise<void> {
  if ("rotate" in request) {
    await running[request.rotate].rotate();
  } else if ("of" in request) {
    behaviours.set(request.of, request.behaviour);
    // What it is now, an agent shows with its next answer.
    running[request.of].push();
  } else {
    clearInterval(flood);
    await Promise.all(Object.values(running).map(({ end }) => end()));
    parentPort?.unref();
  }
}
