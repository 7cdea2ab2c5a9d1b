// Checks Istio's resources, a JSON array on the standard input, against the schemas of their CRDs as the npm package
// @kubernetes-models/istio carries them. To be run in the folder in which that package is installed.
import { readFileSync } from "node:fs";

for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  const kinds = await import(`@kubernetes-models/istio/${resource.apiVersion}/${resource.kind}`);
  try {
    new kinds[resource.kind](resource).validate();
  } catch (fault) {
    console.error(`${resource.kind} ${resource.metadata.name}: ${fault.message}`);
    process.exit(1);
  }
}
