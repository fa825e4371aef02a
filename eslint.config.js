import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

/** Left to right: what each folder of `src` may import, as in docs/architecture.md. Tests may import anything. */
const layers = {
  errors: [],
  clock: [],
  "alarm-clock": ["clock"],
  "time-slice": [],
  yaml: ["errors"],
  credentials: ["errors", "clock"],
  telemetry: ["errors", "clock"],
  emissary: ["errors", "clock", "credentials"],
  mesh: ["errors", "clock", "alarm-clock", "credentials", "telemetry"],
  kubernetes: ["errors", "clock", "yaml", "telemetry", "mesh"],
  api: ["errors", "clock", "time-slice", "yaml", "credentials", "emissary", "mesh"],
  config: ["errors", "clock", "yaml", "credentials", "telemetry", "mesh", "api"],
  render: ["errors", "clock", "credentials", "mesh", "api"],
  stores: [
    "errors",
    "clock",
    "alarm-clock",
    "yaml",
    "credentials",
    "telemetry",
    "mesh",
    "emissary",
    "kubernetes",
    "api",
    "config",
    "render",
  ],
  ingress: [
    "errors",
    "clock",
    "credentials",
    "telemetry",
    "mesh",
    "emissary",
    "kubernetes",
    "api",
    "config",
    "render",
    "stores",
  ],
  reconcile: [
    "errors",
    "clock",
    "alarm-clock",
    "time-slice",
    "credentials",
    "emissary",
    "telemetry",
    "mesh",
    "api",
    "config",
    "render",
    "stores",
    "ingress",
  ],
  server: ["errors", "clock", "telemetry", "mesh", "api", "config", "reconcile"],
};

const wall = (files, regex, message, ignores = ["**/*.test.ts"]) => ({
  files,
  ignores,
  rules: { "no-restricted-imports": ["error", { patterns: [{ regex, message }] }] },
});

export default defineConfig(
  { ignores: [".ci/", "dist/", "node_modules/", "coverage/"] },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector:
            ":function > BlockStatement:has(> VariableDeclaration[kind=/using/]) ImportExpression[source.value=/^\\./]",
          message:
            "Beside a `using` the compiler leaves the specifier as it is, and what is built finds no .ts: import in a function of its own.",
        },
      ],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-console": "error",
    },
  },
  ...Object.entries(layers).flatMap(([folder, may]) =>
    [
      { files: [`src/${folder}/*.ts`, `src/${folder}.ts`], outside: "^(?:\\.\\./)+" },
      // One step up from a folder's own folder is inside.
      { files: [`src/${folder}/*/**/*.ts`], outside: "^\\.\\./(?:\\.\\./)+" },
    ].map(({ files, outside }) =>
      wall(
        files,
        // Without the first alternative the prefix would give back a "../" and so refuse what is allowed.
        `${outside}(?!\\.\\./|${[folder, ...may].map((name) => `${name}(?:/|\\.ts$)`).join("|")})|adapters/`,
        `src/${folder} may import only ${may.length > 0 ? may.join(", ") : "nothing of src"} (docs/architecture.md).`,
        ["**/*.test.ts", "src/mesh/registry.ts"],
      ),
    ),
  ),
  wall(["src/**/*.ts"], "adapters/", "Only src/mesh/registry.ts knows the adapters.", [
    "**/*.test.ts",
    "src/mesh/registry.ts",
    ...Object.keys(layers).map((folder) => `src/${folder}/**`),
  ]),
  wall(
    ["adapters/**/*.ts"],
    "^(?:\\.\\./)+src/(?!mesh/|credentials/|telemetry/)",
    "An adapter imports only src/mesh, src/credentials and src/telemetry.",
  ),
  { files: ["**/*.js"], extends: [tseslint.configs.disableTypeChecked] },
);
