import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { freePorts } from "../ports.ts";
import type { ConsulAgent } from "./agent.ts";

/**
 * A service that echoes, or that is given, behind Consul's built-in mTLS proxy (`consul connect proxy
 * -sidecar-for`).
 */
export interface Sidecar extends AsyncDisposable {
  /** Of the proxy's public listener, on 127.0.0.1. */
  readonly port: number;
}

export async function startSidecar(agent: ConsulAgent, service: string, given?: Server): Promise<Sidecar> {
  const upstream = given ?? (await startEcho());
  const [port = 0] = await freePorts(1);
  await agent.call("PUT", "/agent/service/register", {
    Name: service,
    Address: "127.0.0.1",
    Port: (upstream.address() as AddressInfo).port,
    Connect: {
      SidecarService: {
        Address: "127.0.0.1",
        Port: port,
        Checks: [],
        Proxy: { LocalServiceAddress: "127.0.0.1" },
      },
    },
  });
  const proxy = agent.run("connect", "proxy", `-sidecar-for=${service}`);
  await proxy.until(() => listens(port), "its public listener");
  return {
    port,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      upstream.close();
    },
  };
}

async function startEcho(): Promise<Server> {
  const echo = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(echo, "listening");
  return echo;
}

/** Lets `source` call `destination`; without that Consul with ACLs on refuses. */
export async function allow(agent: ConsulAgent, source: string, destination: string): Promise<void> {
  await agent.call("PUT", `/connect/intentions/exact?source=${source}&destination=${destination}`, {
    Action: "allow",
  });
}

export async function forbid(agent: ConsulAgent, source: string, destination: string): Promise<void> {
  await agent.call("DELETE", `/connect/intentions/exact?source=${source}&destination=${destination}`);
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const listening = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return listening;
}
