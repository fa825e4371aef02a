export * from "./http/agent.ts";
