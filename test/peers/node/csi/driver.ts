/**
 * In place of SPIFFE's CSI driver, in the node: `node test/peers/node/csi/driver.ts NAME FOLDER` serves volumes of the
 * driver NAME, each of which is FOLDER, as that serves the folder of the agent's socket.
 */
import { execFile } from "node:child_process";
import { mkdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const execute = promisify(execFile);
const [driver = "", shared = ""] = process.argv.slice(2);
const endpoint = `/var/lib/kubelet/plugins/${driver}/csi.sock`;

await serve(endpoint, "csi.v1", "Node", {
  NodeGetInfo: () => ({ node_id: "attache-node" }),
  NodeGetCapabilities: () => ({}),
  async NodePublishVolume({ target_path: path = "" }) {
    await mkdir(path, { recursive: true });
    await execute("mount", ["--bind", shared, path]);
    return {};
  },
  async NodeUnpublishVolume({ target_path: path = "" }) {
    await execute("umount", [path]);
    await rmdir(path);
    return {};
  },
});
await serve(`/var/lib/kubelet/plugins_registry/${driver}-reg.sock`, "pluginregistration", "Registration", {
  GetInfo: () => ({ type: "CSIPlugin", name: driver, endpoint, supported_versions: ["1.0.0"] }),
  NotifyRegistrationStatus: ({ error }) => {
    process.stdout.write(`registered ${error ?? ""}\n`);
    return {};
  },
});

type Message = Readonly<Record<string, string>>;
type Method = (request: Message) => object | Promise<object>;

async function serve(
  socket: string,
  name: string,
  service: string,
  methods: Readonly<Record<string, Method>>,
): Promise<void> {
  const file = name === "csi.v1" ? "csi.proto" : "registration.proto";
  const loaded = loadSync(join(import.meta.dirname, file), { keepCase: true });
  const server = new grpc.Server();
  const calls = Object.entries(methods).map(([method, answer]) => [
    method,
    ({ request }: { request: Message }, respond: grpc.sendUnaryData<object>) => {
      Promise.resolve()
        .then(() => answer(request))
        .then(
          (response) => respond(null, response),
          (error: unknown) => respond({ code: grpc.status.INTERNAL, details: String(error) }),
        );
    },
  ]);
  server.addService(
    loaded[`${name}.${service}`] as grpc.ServiceDefinition,
    Object.fromEntries(calls) as grpc.UntypedServiceImplementation,
  );
  await mkdir(join(socket, ".."), { recursive: true });
  await rm(socket, { force: true });
  await promisify(server.bindAsync.bind(server))(`unix:${socket}`, grpc.ServerCredentials.createInsecure());
}
