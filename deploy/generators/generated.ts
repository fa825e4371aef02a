import { stringify } from "yaml";
import { crd } from "../../src/api/crd.ts";
import { meshCertificate } from "../../src/api/mesh-certificate.ts";
import { rulesFile, runbooksPage } from "../prometheus/alerts.ts";
import { dashboardFile } from "../prometheus/dashboard.ts";
import { chartRules } from "./chart-rules.ts";
import { chartSchema } from "./chart-schema.ts";
import { errorsPage } from "./errors-page.ts";
import { logsPage } from "./logs-page.ts";
import { protocols } from "./protocols.ts";
import { identityPage, metricsPage, permissionsPage, settingsPage } from "./reference-pages.ts";
import { inputSchema, settingsSchema } from "./settings-schema.ts";
import { valuesPage } from "./values-page.ts";

/** Every generated file, by its path in the repository. */
export function generated(): ReadonlyMap<string, string> {
  const identitySchema = inputSchema(meshCertificate);
  return new Map([
    ["deploy/crds/attache.dev_meshcertificates.yaml", stringify(crd())],
    ["deploy/helm/attache/crds/attache.dev_meshcertificates.yaml", stringify(crd())],
    ["deploy/helm/attache/templates/_rules.tpl", chartRules()],
    ["deploy/helm/attache/README.md", valuesPage()],
    ["deploy/helm/attache/files/alerts.yaml", rulesFile()],
    ["deploy/prometheus/alerts.yaml", rulesFile()],
    ["deploy/helm/attache/files/dashboard.json", dashboardFile()],
    ["deploy/prometheus/dashboard.json", dashboardFile()],
    ["deploy/helm/attache/values.schema.json", json(chartSchema())],
    ["deploy/schema/meshcertificate.schema.json", json(identitySchema)],
    ["deploy/schema/settings.schema.json", json(settingsSchema())],
    ["docs/reference/meshcertificate.md", identityPage(identitySchema)],
    ["docs/reference/settings.md", settingsPage(settingsSchema())],
    ["docs/reference/permissions.md", permissionsPage()],
    ["docs/reference/metrics.md", metricsPage()],
    ["docs/errors.md", errorsPage()],
    ["docs/logs.md", logsPage()],
    ["docs/runbooks/README.md", runbooksPage()],
    ...protocols(),
  ]);
}

function json(schema: object): string {
  return `${JSON.stringify(schema, null, 2)}\n`;
}
