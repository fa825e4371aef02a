import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adapter } from "../../../adapters/consul/index.ts";
import { parseSpiffeIdPattern, readSpiffeId } from "../../../src/credentials/spiffe-id.ts";
import { type ConsulAgent, managementToken, startConsul } from "./agent.ts";
import { watch } from "./watch.ts";

const password = "Correct:Horse-9";

let folder: string;
let consul: ConsulAgent;
let httpSocket: string;
let grpcSocket: string;
let gateway: Gateway;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-consul-"));
  httpSocket = join(folder, "http.sock");
  grpcSocket = join(folder, "grpc.sock");
  consul = await startConsul({
    folder,
    acl: true,
    more: { addresses: { http: `127.0.0.1 unix://${httpSocket}`, grpc: `127.0.0.1 unix://${grpcSocket}` } },
  });
  gateway = await startGateway(consul.port);
});

afterAll(async () => {
  await Promise.all([gateway, consul].map((one) => one[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true });
});

const token = managementToken;
const owner = { namespace: "emissary" };

describe("a real Consul", () => {
  it.each<[what: string, settings: () => object, env: () => Record<string, string>]>([
    [
      "behind a gateway with a path and a password",
      () => ({ mode: "http", address: `${gateway.address}/consul`, token }),
      () => ({ CONSUL_HTTP_AUTH: `edge:${password}` }),
    ],
    [
      "behind that gateway, set up by Consul's own variables alone, with line ends",
      () => ({ mode: "http" }),
      () => ({
        CONSUL_HTTP_ADDR: `${gateway.address}/consul/\n`,
        CONSUL_HTTP_AUTH: `edge:${password}\n`,
        CONSUL_HTTP_TOKEN: `${token}\n`,
      }),
    ],
    ["at a Unix socket, HTTP", () => ({ mode: "http", address: `unix://${httpSocket}`, token }), () => ({})],
    [
      "at a Unix socket, gRPC",
      () => ({ mode: "grpc", addresses: [`unix://${grpcSocket}`], token }),
      () => ({}),
    ],
    [
      "at the Unix socket of CONSUL_GRPC_ADDR",
      () => ({ mode: "grpc" }),
      () => ({ CONSUL_GRPC_ADDR: ` unix://${grpcSocket}\n`, CONSUL_HTTP_TOKEN: token }),
    ],
  ])("%s gives a leaf, and all checks are well", async (_, settings, env) => {
    await using edge = await watch(settings(), "edge", env());
    expect((await edge.next()).chain[0].uris[0]).toMatch(/\/svc\/edge$/);
    expect((await edge.check()).filter(({ status }) => status !== "ok")).toEqual([]);
  });

  it.each(["-web_", ".web.", "...", "Web.API_2", "w".repeat(1024)])(
    "signs for the service %j in both modes",
    async (name) => {
      const grpc = { mode: "grpc", addresses: [`unix://${grpcSocket}`], token };
      for (const settings of [grpc, { mode: "http", address: consul.address, token }]) {
        expect(adapter.identity.safeParse({ service: name }).success).toBe(true);
        await using one = await watch(settings, name);
        const [uri = ""] = (await one.next()).chain[0].uris;
        expect(uri.endsWith(`/svc/${name}`)).toBe(true);
        expect(parseSpiffeIdPattern(adapter.expected({ service: name }, owner)).test(uri)).toBe(true);
        expect(readSpiffeId(uri)).toBeDefined();
      }
    },
  );

  it("is not reached behind the gateway with another password, which no message shows", async () => {
    const wrong = "Wrong-Horse-8";
    await using edge = await watch({ address: `${gateway.address}/consul`, token }, "edge", {
      CONSUL_HTTP_AUTH: `edge:${wrong}`,
    });
    void edge.next().catch(() => undefined);
    const checks = await edge.check();
    await expect.poll(() => edge.states.length).toBeGreaterThan(0);
    const [state] = edge.states;
    expect(state?.connected === false && state.error.remedy).toContain("CONSUL_HTTP_AUTH");
    expect(checks.find(({ status }) => status !== "ok")?.remedy).toContain("CONSUL_HTTP_AUTH");
    expect(JSON.stringify([checks, edge.states]).toLowerCase()).not.toContain(wrong.toLowerCase());
  });

  it("is missed at a socket that is not there, and the remedy names the listener", async () => {
    await using edge = await watch({ mode: "grpc", addresses: [`unix://${grpcSocket}.none`], token }, "edge");
    void edge.next().catch(() => undefined);
    const [check] = (await edge.check()).filter(({ status }) => status !== "ok");
    expect(check?.remedy).toContain(`addresses.grpc = "unix://${grpcSocket}.none"`);
  });
});

interface Gateway extends AsyncDisposable {
  readonly address: string;
}

/** As nginx before an agent: below a path, for those who know the password, which it quotes to others. */
async function startGateway(port: number): Promise<Gateway> {
  const expected = `Basic ${Buffer.from(`edge:${password}`).toString("base64")}`;
  const server = createServer((asked: IncomingMessage, answer: ServerResponse) => {
    const { url = "", method, headers } = asked;
    if (headers.authorization !== expected) {
      const given = Buffer.from((headers.authorization ?? "").slice("Basic ".length), "base64").toString();
      answer.writeHead(401).end(`refused: ${given.toUpperCase()}`);
      return;
    }
    if (!url.startsWith("/consul/v1/")) {
      answer.writeHead(404).end("no such path");
      return;
    }
    const path = url.slice("/consul".length);
    const forwarded = request({ host: "127.0.0.1", port, path, method, headers }, (reply) => {
      answer.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(answer);
    });
    forwarded.on("error", () => answer.destroy());
    answer.on("close", () => forwarded.destroy());
    asked.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
