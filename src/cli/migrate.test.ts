import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { command } from "../../test/fixtures/command.ts";
// Loaded before the first test, which counts its time.
import "./migrate.ts";

const connector = join(import.meta.dirname, "../../test/fixtures/migrate/consul-connector.yaml");

describe("migrate", () => {
  it("prints values, MeshCertificates and the numbered cut-over with a way back", async () => {
    const { status, stdout, stderr } = await command("migrate", connector);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^# Helm values.*\nmeshes:\n {2}consul:\n {4}enabled: true\n/);
    expect(stdout).toContain("\nkind: MeshCertificate\n");
    expect(stdout).toMatch(
      /\n1\. Install attaché .*\n {5}attache migrate \S+ -o values > attache-values.yaml\n/,
    );
    expect(stdout.match(/^ {3}See that it worked:$/gm)).toHaveLength(6);
    expect(stdout.match(/^ {3}(To go back:|There is nothing to undo\.)$/gm)).toHaveLength(6);
  });

  it("prints the values alone with -o values, and the MeshCertificates with -o yaml", async () => {
    const values = await command("migrate", connector, "-o", "values");
    expect(parse(values.stdout)).toMatchObject({ meshes: { consul: { enabled: true } }, emissary: [{}] });
    const { stdout } = await command("migrate", connector, "-o", "yaml");
    expect(parseAllDocuments(stdout).map((document) => document.toJS() as unknown)).toMatchObject([
      { kind: "MeshCertificate", metadata: { name: "ambassador-consul", namespace: "ambassador" } },
    ]);
  });

  it("names the file and the remedy of what it refuses, with status 2", async () => {
    const { status, stderr } = await command("migrate", join(import.meta.dirname, "../../package.json"));
    expect(stderr).toMatch(
      /package\.json:1:1: is no Kubernetes object: give what `kubectl get -o yaml` prints/,
    );
    expect(status).toBe(2);
    expect((await command("migrate", "nowhere.yaml")).stderr).toContain("cannot read nowhere.yaml");
  });
});
