/**
 * Run from its source: starts a real API server, prints as JSON how it is reached, and ends it when the
 * standard input closes.
 */
import { text } from "node:stream/consumers";
import { startControlPlane } from "../../peers/kubernetes/control-plane.ts";
import { installDefinitions } from "../../peers/kubernetes/definitions.ts";

await using plane = await startControlPlane();
await installDefinitions(plane.admin);
process.stdout.write(`${JSON.stringify(plane.access)}\n`);
await text(process.stdin);
