import { stringify } from "yaml";
import { crd as definition } from "../api/crd.ts";

export function crd(): void {
  process.stdout.write(stringify(definition()));
}
