import type { TestProject } from "vitest/node";
import { buildPeer } from "./build.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Path of the program. */
    consul: string;
  }
}

/** What all peer tests need before they start; the servers themselves are started by each test file. */
export default async function setUp(project: TestProject): Promise<void> {
  project.provide("consul", `${await buildPeer("consul")}/consul`);
}
