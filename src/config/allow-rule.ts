import { z } from "zod";
import { CredentialError } from "../credentials/errors.ts";
import { parseSpiffeIdPattern } from "../credentials/spiffe-id.ts";

const glob = (what: string, example: string) =>
  z.string().regex(/^[-a-z0-9.*]+$/, `must be ${what}, in which * matches any characters, e.g. "${example}"`);

const spiffeIds = z.string().superRefine((text, context) => {
  try {
    parseSpiffeIdPattern(text);
  } catch (error) {
    if (!(error instanceof CredentialError)) throw error;
    context.addIssue({ code: "custom", message: `${error.problem}. ${error.remedy}` });
  }
});

/**
 * One rule of the allow list. All fields must match, and none has a default, so that none is omitted by
 * mistake.
 */
export const allowRule = z.strictObject({
  namespaces: z
    .array(glob("a namespace", "team-*"))
    .min(1)
    .describe("The namespaces of the MeshCertificates that the rule applies to. `*` matches any characters."),
  mesh: glob("the name of a mesh", "consul").describe(
    "The name of the mesh in the settings. `*` matches any characters.",
  ),
  spiffeIds: z
    .array(spiffeIds)
    .min(1)
    .describe(
      "The SPIFFE IDs that the rule grants. `*` matches within one segment, `**` all further segments.",
    ),
  tlsContexts: z
    .array(glob("the name of a TLSContext", "storefront"))
    .min(1)
    .describe(
      "The TLSContext names that the rule grants. Mappings of all namespaces find a TLSContext by its name.",
    ),
});

export type AllowRule = z.output<typeof allowRule>;
