import { connect } from "node:net";
import { MeshError } from "../../src/mesh/adapter.ts";

/** Tries to connect to the agent's socket, and says why that fails; `undefined` when somebody listens. */
export function trySocket(path: string): Promise<MeshError | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once("error", (cause: NodeJS.ErrnoException) => resolve(unreachable(path, cause)));
  });
}

function unreachable(path: string, cause: NodeJS.ErrnoException): MeshError {
  const { problem, remedy } = explain(path, cause.code);
  return new MeshError("ATTACHE_MESH_UNREACHABLE", problem, { remedy, cause });
}

function explain(path: string, code = "unknown error"): { problem: string; remedy: string } {
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return {
        problem: `there is no socket at ${path}`,
        remedy:
          "Check that the pod has the Istio sidecar and that attaché's container mounts the volume workload-socket at the folder of `socket`.",
      };
    case "EACCES":
    case "EPERM":
      return {
        problem: `attaché may not connect to ${path}`,
        remedy: `Let user ${process.getuid?.() ?? "of attaché"} write to the socket and enter its folders; the Istio agent makes it with mode 0666.`,
      };
    case "ECONNREFUSED":
      return {
        problem: `nobody listens on ${path}`,
        remedy:
          "Check that the agent (container istio-proxy) runs. A socket file may be left over from one that has ended.",
      };
    default:
      return {
        problem: `connecting to ${path} fails (${code})`,
        remedy: "Check the path under `socket` and that the agent (container istio-proxy) runs.",
      };
  }
}
