// Stands for `ssh root@machine`: runs the collector's command, or what this test has in its place. The TPM is a few lines, its logs are real.
import { printEvidence } from "../../../attest/verify/runtime-evidence.ts";
import { makeKey, quoteOf, realEvidence } from "../self-test/machine.ts";

const [node, collector, flag, nonce = ""] = process.argv.slice(-4);
if (node !== "/usr/bin/node" || collector !== "/usr/libexec/secure-ai/secai-evidence.mjs" || flag !== "--nonce") process.exit(9);
const evidence = realEvidence("plain");
const quote = quoteOf(makeKey(), { pcrs: evidence.quote?.pcrs ?? new Map(), nonce });
process.stdout.write(printEvidence({ ...evidence, nonce, quote }));
