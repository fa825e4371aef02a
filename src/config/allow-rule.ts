import { z } from "zod";
import { CredentialError } from "../credentials/errors.ts";
import { parseSpiffeIdPattern } from "../credentials/spiffe-id.ts";

const glob = (what: string, example: string) =>
  z
    .string()
    .regex(/^[-a-z0-9.*]+$/, `must be ${what}, in which * stands for any characters, e.g. "${example}"`);

const spiffeIds = z.string().superRefine((text, context) => {
  try {
    parseSpiffeIdPattern(text);
  } catch (error) {
    if (!(error instanceof CredentialError)) throw error;
    context.addIssue({ code: "custom", message: `${error.problem}. ${error.remedy}` });
  }
});

/** One rule of who may have what. All of it must fit, and nothing is left out by mistake: it has no defaults. */
export const allowRule = z.strictObject({
  namespaces: z
    .array(glob("a namespace", "team-*"))
    .min(1)
    .describe("The namespaces whose MeshCertificates it is for; `*` in a name stands for any characters."),
  mesh: glob("the name of a mesh", "consul").describe("The mesh, by its name in the settings; `*` for each."),
  spiffeIds: z
    .array(spiffeIds)
    .min(1)
    .describe(
      "The SPIFFE IDs that they may have; `*` stands for a part of one segment, `**` for all further segments.",
    ),
  tlsContexts: z
    .array(glob("the name of a TLSContext", "storefront"))
    .min(1)
    .describe(
      "The names under which they may publish: Mappings of all namespaces find a TLSContext by its name.",
    ),
});

export type AllowRule = z.output<typeof allowRule>;
