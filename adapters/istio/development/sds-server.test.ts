import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { once } from "node:events";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  secret,
  secretDiscoveryService,
} from "../proto/sds.pb.ts";
import { secretTypeUrl } from "../sds/secret.ts";
import { bundleSecret } from "./secrets.ts";
import { startSdsServer } from "./sds-server.ts";

const { streamSecrets } = secretDiscoveryService;
const workload = { ...bundleSecret([]), name: "default" };

describe("the development SDS server, as the Istio agent", () => {
  it("refuses a first request without the id of a node", async () => {
    await using world = await setUp();
    const { call } = world.open();
    call.write({ ...request("default"), node: null });
    expect(await errorOf(call)).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: "missing node information",
    });
  });

  it("pushes what there is, then to each stream only what changes there", async () => {
    await using world = await setUp();
    const [one, other] = [world.open(), world.open()];
    one.call.write(request("default"));
    other.call.write(request("ROOTCA"));
    const [first, root] = [await one.next(), await other.next()];
    expect(namesIn(first)).toEqual(["default"]);
    expect(namesIn(root)).toEqual(["ROOTCA"]);
    world.server.set(workload);
    const second = await one.next();
    expect(namesIn(second)).toEqual(["default"]);
    expect(second.versionInfo).not.toBe(first.versionInfo);
    world.server.set(bundleSecret([]));
    expect(namesIn(await other.next())).toEqual(["ROOTCA"]);
  });

  it("answers an unknown name with the workload's certificate, and never again", async () => {
    await using world = await setUp();
    const [unknown, known] = [world.open(), world.open()];
    unknown.call.write(request("kubernetes://other"));
    known.call.write(request("default"));
    expect(namesIn(await unknown.next())).toEqual(["kubernetes://other"]);
    await known.next();
    world.server.set(workload);
    await known.next();
    expect(unknown.call.readableLength).toBe(0);
  });

  it("keeps what a client refuses to itself, and ignores what answers an older push", async () => {
    await using world = await setUp();
    const { call, next } = world.open();
    call.write(request("default"));
    const { nonce } = await next();
    const errorDetail = { code: 3, message: "no" };
    call.write({ ...request("default"), responseNonce: "stale", errorDetail });
    call.write({ ...request("default"), responseNonce: nonce, errorDetail });
    await expect.poll(() => world.server.refusals).toEqual([{ name: "default", message: "no" }]);
    expect(call.readableLength).toBe(0);
  });

  it.each(["DeltaSecrets", "FetchSecrets"])("does not implement %s", async (method) => {
    await using world = await setUp();
    const { call } = world.open(streamSecrets.path.replace("StreamSecrets", method));
    call.write(request("default"));
    expect(await errorOf(call)).toMatchObject({ code: status.UNIMPLEMENTED });
  });

  it("takes the place of a socket that is left over, and lets every user connect", async () => {
    await using world = await setUp();
    const { mode } = await stat(world.socket);
    expect(mode & 0o777).toBe(0o666);
  });

  it("says so when the socket's path is too long for the system", async () => {
    const socket = `/tmp/${"x".repeat(99)}`;
    await expect(startSdsServer({ socket })).rejects.toThrow(
      `the path of the Unix socket ${socket} has 104 bytes, and 103 is the most: use a shorter folder`,
    );
  });
});

async function setUp() {
  const directory = await mkdtemp(join(tmpdir(), "attache-"));
  const socket = join(directory, "agent.sock");
  await writeFile(socket, "left over");
  const server = await startSdsServer({ socket });
  server.set(workload);
  server.set(bundleSecret([]));
  const client = new Client(`unix://${socket}`, credentials.createInsecure());
  return {
    server,
    socket,
    open(path = streamSecrets.path) {
      const { requestSerialize, responseDeserialize } = streamSecrets;
      const call = client.makeBidiStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        new Metadata(),
        {},
      );
      call.on("error", () => undefined);
      const answers = call[Symbol.asyncIterator]() as AsyncIterator<DiscoveryResponse, never>;
      return { call, next: async () => (await answers.next()).value };
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await server[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

function request(name: string): DiscoveryRequest {
  return {
    versionInfo: "",
    node: { id: "test", metadata: null, userAgentName: "" },
    resourceNames: [name],
    typeUrl: secretTypeUrl,
    responseNonce: "",
    errorDetail: null,
  };
}

async function errorOf(call: ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>): Promise<ServiceError> {
  const [error] = (await once(call, "error", {})) as [ServiceError];
  return error;
}

function namesIn({ resources }: DiscoveryResponse): string[] {
  return resources.map(({ value }) => secret.decode(value).name);
}
