// The policy for container images as an overlay: everything is rejected but our repository, signed by our keys.
// silverblue/policy --repository HOST/PATH --key FILE[,FILE] --out DIR
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  buildPolicy,
  buildRegistries,
  checkKey,
  checkPolicy,
  KEY_FOLDER,
  POLICY_PATH,
  REGISTRIES_PATH,
} from "../../silverblue/policy.ts";
import { readFlags } from "../tool.ts";

const flag = readFlags(process.argv.slice(2));
const keys = flag("key").split(",");
const policy = buildPolicy(
  flag("repository"),
  keys.map((key) => basename(key)),
);
// What is written is what tree.ts will accept.
checkPolicy(Buffer.from(policy), flag("repository"));

function write(path: string, content: string): void {
  const full = join(flag("out"), path);
  mkdirSync(dirname(full), { recursive: true, mode: 0o755 });
  writeFileSync(full, content, { mode: 0o644 });
}

for (const key of keys) {
  const pem = readFileSync(key, "utf8");
  checkKey(basename(key), pem);
  write(`${KEY_FOLDER}/${basename(key)}`, pem);
}
write(POLICY_PATH, policy);
write(REGISTRIES_PATH, buildRegistries(flag("repository")));
