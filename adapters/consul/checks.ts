import type { Check, MeshError } from "../../src/mesh/adapter.ts";

export function ok(name: string, message: string): Check {
  return { name, status: "ok", message };
}

export function warning(name: string, message: string, remedy: string): Check {
  return { name, status: "warning", message, remedy };
}

export function failed(name: string, { problem, remedy }: MeshError): Check {
  return { name, status: "failed", message: problem, remedy };
}
