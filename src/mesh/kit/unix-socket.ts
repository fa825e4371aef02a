import { connect } from "node:net";
import { MeshError } from "../errors.ts";

/**
 * The longest path of a Unix socket: `sun_path` holds 108 bytes on Linux and 104 on macOS, the last one NUL.
 * See unix(7); the smaller limit is used, so that settings work on both.
 */
export const socketPathMaxBytes = 103;

/**
 * What an operator does about a socket that cannot be connected to; the mesh's agent makes it, and knows
 * best.
 */
export interface SocketRemedies {
  /** There is no such file. */
  readonly missing: string;
  /** The file is there, and no process listens. */
  readonly idle: string;
  /** As which mode the agent makes it: "the Istio agent makes it with mode 0666". */
  readonly mode: string;
}

/** Tries to connect to an agent's socket, and says why that fails; `undefined` when a process listens. */
export function trySocket(path: string, remedies: SocketRemedies): Promise<MeshError | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once("error", (cause: NodeJS.ErrnoException) => resolve(unreachable(path, remedies, cause)));
  });
}

function unreachable(path: string, remedies: SocketRemedies, cause: NodeJS.ErrnoException): MeshError {
  const { problem, remedy } = explain(path, remedies, cause.code);
  return new MeshError("ATTACHE_MESH_UNREACHABLE", problem, { remedy, cause });
}

function explain(
  path: string,
  { missing, idle, mode }: SocketRemedies,
  code = "unknown error",
): { problem: string; remedy: string } {
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return { problem: `there is no socket at ${path}`, remedy: missing };
    case "EACCES":
    case "EPERM":
      return {
        problem: `attaché may not connect to ${path}`,
        remedy: `Let user ${process.getuid?.() ?? "of attaché"} write to the socket and enter its folders; ${mode}.`,
      };
    case "ECONNREFUSED":
      return { problem: `no process listens on ${path}`, remedy: idle };
    default:
      return { problem: `connecting to ${path} fails (${code})`, remedy: idle };
  }
}
