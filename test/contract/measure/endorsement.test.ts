import { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCredential } from "../../../attest/measure/credential.ts";
import { endorsementFault, parseEndorsementCertificate } from "../../../attest/measure/endorsement.ts";
import { parseEndorsementKey, parsePublicArea } from "../../../attest/measure/public-area.ts";
import { ToolFolder } from "./tool-root.ts";

// Endorsement and credential activation against a software TPM that a maker of its own certified, with tpm2-tools on the machine's side.

const top = join(import.meta.dirname, "../../..");
const SECRET = Buffer.from("a secret of thirty-two bytes ...");
let folder: ToolFolder;
const read = (name: string) => readFileSync(join(folder.path, name));

/** The collector's own code: quotes once, or opens a credential. */
const PROGRAM = `
import { readFileSync, writeFileSync } from "node:fs";
import { activateCredential, quoteTpm } from "./attest/verify/runtime-tpm.ts";
const [what, algorithm] = process.argv.slice(2);
const access = { tcti: "swtpm:path=" + process.cwd() + "/tpm.sock", managed: false, scratch: process.cwd(), algorithm };
if (what === "quote") {
  const quote = await quoteTpm("5a".repeat(16), access);
  for (const name of ["attestationKey", "endorsementKey", "endorsementCertificate"]) {
    if (quote[name] !== undefined) writeFileSync(algorithm + "." + name, quote[name]);
  }
} else writeFileSync(what + ".secret", await activateCredential(readFileSync(what), access));
`;

const START = `swtpm socket --tpm2 --tpmstate dir=tpm --server type=unixio,path=tpm.sock --ctrl type=unixio,path=tpm.sock.ctrl \\
    --flags not-need-init,startup-clear &
  for try in $(seq 100); do [ -S tpm.sock ] && break; sleep 0.1; done`;

/** Runs a script while the TPM is on. */
const withTpm = (script: string) =>
  folder.run(`rm -f tpm.sock*; ${START}
  trap 'kill %1' EXIT
  ${script}`);

beforeAll(() => {
  folder = new ToolFolder();
  const { outputFiles } = buildSync({
    stdin: { contents: PROGRAM, resolveDir: top, loader: "ts" },
    ...{ bundle: true, platform: "node", target: "node20", format: "esm", write: false },
  });
  writeFileSync(join(folder.path, "program.mjs"), outputFiles[0]?.contents ?? "");
  mkdirSync(join(folder.path, "ca"));
  const at = (name: string) => join(folder.path, name);
  writeFileSync(
    at("localca.conf"),
    `statedir = ${at("ca")}\nsigningkey = ${at("ca/key.pem")}\nissuercert = ${at("ca/issuer.pem")}\ncertserial = ${at("ca/serial")}\n`,
  );
  writeFileSync(at("localca.options"), "--platform-manufacturer SecAI\n--platform-version 1\n--platform-model test\n");
  writeFileSync(
    at("setup.conf"),
    `create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = ${at("localca.conf")}\ncreate_certs_tool_options = ${at("localca.options")}\nactive_pcr_banks = sha256\n`,
  );
  folder.run(
    "mkdir tpm && swtpm_setup --tpm2 --tpmstate tpm --create-ek-cert --config setup.conf --overwrite >setup.log 2>&1 || { cat setup.log >&2; exit 1; }",
  );
  withTpm(
    "for algorithm in ecc rsa; do nodejs program.mjs quote $algorithm; cp $algorithm.attestationKey $algorithm.first; nodejs program.mjs quote $algorithm; done",
  );
}, 120_000);
afterAll(() => folder?.remove());

const endorsementKey = () => parseEndorsementKey(read("ecc.endorsementKey"));
const certificate = () => parseEndorsementCertificate(read("ecc.endorsementCertificate"));
const anchor = (name: string) => new X509Certificate(read(name));
const now = () => new Date();

test("the attestation key is the same at every call, so that it can be enrolled", () => {
  for (const algorithm of ["ecc", "rsa"]) expect(read(`${algorithm}.attestationKey`)).toEqual(read(`${algorithm}.first`));
});

test("the maker's certificate is for this key, leads to the maker, and to nobody else", () => {
  const made = { anchors: [anchor("ca/swtpm-localca-rootca-cert.pem")], intermediates: [anchor("ca/issuer.pem")] };
  expect(endorsementFault(certificate(), endorsementKey(), made, now())).toBeUndefined();
  const direct = { anchors: [anchor("ca/issuer.pem")], intermediates: [] };
  expect(endorsementFault(certificate(), endorsementKey(), direct, now())).toBeUndefined();
  expect(endorsementFault(certificate(), endorsementKey(), { ...made, intermediates: [] }, now())).toBe("EK_CERTIFICATE_CHAIN");
  expect(
    endorsementFault(certificate(), endorsementKey(), { anchors: [], intermediates: [anchor("ca/issuer.pem")] }, now()),
  ).toBe("EK_CERTIFICATE_CHAIN");
  expect(endorsementFault(certificate(), endorsementKey(), made, new Date("2001-01-01"))).toBe("EK_CERTIFICATE_EXPIRED");
  expect(endorsementFault(certificate(), parsePublicArea(read("rsa.attestationKey")), made, now())).toBe("EK_CERTIFICATE_KEY");
});

test("another maker of the same name vouches for nothing", () => {
  folder.run(
    `mkdir other && openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout other/key.pem -out other/issuer.pem 2>/dev/null \\
      -subj "$(openssl x509 -in ca/issuer.pem -noout -subject -nameopt compat | sed 's/^subject=/\\//; s/ //g; s/^\\/\\//\\//')"`,
  );
  const trust = { anchors: [anchor("other/issuer.pem")], intermediates: [] };
  expect(endorsementFault(certificate(), endorsementKey(), trust, now())).toBe("EK_CERTIFICATE_CHAIN");
});

describe.each(["ecc", "rsa"])("a credential for an %s attestation key", (algorithm) => {
  const name = () => parsePublicArea(read(`${algorithm}.attestationKey`)).name;
  const activate = (credential: Buffer, file: string) => {
    writeFileSync(join(folder.path, file), credential);
    withTpm(`nodejs program.mjs ${file} ${algorithm}; ls -d secai-evidence-* 2>/dev/null && exit 1 || true`);
    return read(`${file}.secret`);
  };

  test("is opened by the TPM with both keys", () => {
    expect(activate(makeCredential(endorsementKey(), name(), SECRET), `${algorithm}-good`)).toEqual(SECRET);
  });

  test("is opened by no TPM when it names another key, or was changed", () => {
    const other = parsePublicArea(read(`${algorithm === "ecc" ? "rsa" : "ecc"}.attestationKey`)).name;
    expect(() => activate(makeCredential(endorsementKey(), other, SECRET), `${algorithm}-other`)).toThrow(
      /TPM_COMMAND_FAILED|INTEGRITY|0x/,
    );
    const changed = makeCredential(endorsementKey(), name(), SECRET);
    changed[40] = (changed[40] ?? 0) ^ 1;
    expect(() => activate(changed, `${algorithm}-changed`)).toThrow(/TPM_COMMAND_FAILED|INTEGRITY|0x/);
  });
});

test("a P-256 endorsement key works the same way", () => {
  withTpm(`export TPM2TOOLS_TCTI=swtpm:path=$PWD/tpm.sock
  tpm2_createek -Q -c e.ctx -G ecc -u e.pub; tpm2_flushcontext -t
  tpm2_createprimary -Q -C e -G ecc256:ecdsa-sha256:null -g sha256 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign' -c a.ctx
  tpm2_readpublic -Q -c a.ctx -o a.pub; tpm2_flushcontext -t`);
  const credential = makeCredential(parseEndorsementKey(read("e.pub")), parsePublicArea(read("a.pub")).name, SECRET);
  writeFileSync(join(folder.path, "p256"), Buffer.concat([Buffer.from("badcc0de00000001", "hex"), credential]));
  withTpm(`export TPM2TOOLS_TCTI=swtpm:path=$PWD/tpm.sock
  tpm2_createek -Q -c e.ctx -G ecc -u e.pub; tpm2_flushcontext -t
  tpm2_createprimary -Q -C e -G ecc256:ecdsa-sha256:null -g sha256 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign' -c a.ctx; tpm2_flushcontext -t
  tpm2_startauthsession -Q --policy-session -S s.ctx; tpm2_policysecret -Q -S s.ctx -c e
  tpm2_activatecredential -Q -c a.ctx -C e.ctx -P session:s.ctx -i p256 -o p256.secret`);
  expect(read("p256.secret")).toEqual(SECRET);
});
