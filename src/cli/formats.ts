/** How a command can print what it has to say. */
export const formats = ["table", "wide", "json", "yaml"] as const;
export type Format = (typeof formats)[number];
