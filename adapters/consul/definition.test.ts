import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z, type ZodType } from "zod";
import { connectionSettings } from "./http/connection-settings.ts";
import { definition } from "./definition.ts";

const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");

describe("the adapter's README", () => {
  it("lists every setting, and no other, with its default and meaning", () => {
    expect(rowsUnder("Settings")).toEqual(rowsOf(definition.settings));
  });

  it("lists every field of an identity, and no other", () => {
    expect(rowsUnder("Identity")).toEqual(rowsOf(definition.identity));
  });

  it("names every environment variable that is read, and no other", () => {
    const read = new Set<string>();
    const env = new Proxy<Record<string, string>>({}, { get: (_env, name) => void read.add(String(name)) });
    connectionSettings(definition.settings.parse({}), env);
    const named = section("Environment").match(/\bCONSUL_[A-Z_]+/g) ?? [];
    expect([...new Set(named)].sort()).toEqual([...read].sort());
  });
});

describe("the settings", () => {
  it("need nothing where an agent listens on this machine", () => {
    expect(definition.settings.parse({})).toEqual({ mode: "http" });
  });

  it.each([
    [{ mode: "grpc" }, 'mode "grpc" does not exist; this version knows "http" only (grpc is planned)'],
    [{ token: "a", tokenFile: "b" }, "give token or tokenFile, not both"],
    [{ tls: { certFile: "cert.pem" } }, "certFile and keyFile belong together: give both or neither"],
    [
      { address: "http://consul.example", tls: { caFile: "ca.pem" } },
      'has no effect on an address that is not encrypted: write "https://…", or leave tls out',
    ],
    [
      { address: "https://user@consul.example" },
      'must be like "https://127.0.0.1:8501", "127.0.0.1:8500" or "unix:///run/consul.sock", without user, path or query',
    ],
    [{ datacenter: "dc1/../dc2" }, 'must be the name of a Consul datacenter, e.g. "dc1"'],
  ])("refuse %j", (settings, message) => {
    const { error } = definition.settings.safeParse(settings);
    expect(error?.issues.map((issue) => issue.message)).toEqual([message]);
  });
});

describe("an identity", () => {
  it("counts as expected in any trust domain and datacenter", () => {
    expect(definition.expected({ service: "web" })).toBe("spiffe://*/ns/default/dc/*/svc/web");
  });

  it.each(["web", "web-2", "a", "Web_api.v1"])("can be the service %j", (service) => {
    expect(definition.identity.safeParse({ service }).success).toBe(true);
  });

  it.each(["", "-web", "web-", "a/b", "*", "..", "a b", "wäb", "web?ns=other"])(
    "cannot be the service %j",
    (service) => {
      const { error } = definition.identity.safeParse({ service });
      expect(error?.issues[0]?.message).toContain("must be the name of a Consul service");
    },
  );
});

type Row = readonly [name: string, defaultValue: string, meaning: string];

/** A setting inside of another comes after it, by its whole name. */
function rowsOf(schema: ZodType): Row[] {
  return rowsOfJson(z.toJSONSchema(schema, { io: "input" }), "");
}

function rowsOfJson({ properties = {} }: z.core.JSONSchema.BaseSchema, prefix: string): Row[] {
  return Object.entries(properties).flatMap(([name, property]): Row[] => {
    if (typeof property === "boolean") return [];
    const { default: value, description = "" } = property;
    const row: Row = [`\`${prefix}${name}\``, typeof value === "string" ? `\`${value}\`` : "", description];
    return [row, ...rowsOfJson(property, `${prefix}${name}.`)];
  });
}

/** The cells of the table in a section of the README. */
function rowsUnder(heading: string): Row[] {
  const lines = section(heading)
    .split("\n")
    .filter((line) => line.startsWith("|"));
  return lines.slice(2).map((line) => {
    const [, name = "", defaultValue = "", meaning = ""] = line.split("|").map((cell) => cell.trim());
    return [name, defaultValue, meaning];
  });
}

function section(heading: string): string {
  return readme.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? "";
}
