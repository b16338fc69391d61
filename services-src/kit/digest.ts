// Services import the kit and nothing below it; what they need of the ground floor comes through here.
export { canonicalJson, type JsonValue } from "@secai/formats/canonical-json";
export { type Sha256, sha256 } from "@secai/formats/digest";
