import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkDeployment, type Deployment, parseDeployments, repositoryOf, rootHashOf, stageCommand } from "./deployment.ts";
import { DeploymentError } from "./deployment-errors.ts";

const REPOSITORY = "registry.example/os/appliance";
const DIGEST = `sha256:${"ab".repeat(32)}`;
const good: Deployment = {
  reference: `${REPOSITORY}@${DIGEST}`,
  transport: "registry",
  signature: "containerPolicy",
  digest: DIGEST,
};

describe("checkDeployment", () => {
  const refused: readonly { name: string; code: string; change: Partial<Deployment> }[] = [
    { name: "another repository", code: "DEPLOYMENT_FOREIGN", change: { reference: `registry.example/os/appliance2@${DIGEST}` } },
    { name: "a repository below ours", code: "DEPLOYMENT_FOREIGN", change: { reference: `${REPOSITORY}/x@${DIGEST}` } },
    { name: "a path on the machine", code: "DEPLOYMENT_FOREIGN", change: { transport: "oci" } },
    { name: "a tag", code: "DEPLOYMENT_UNPINNED", change: { reference: `${REPOSITORY}:latest` } },
    { name: "another digest than the pulled one", code: "DEPLOYMENT_UNPINNED", change: { digest: `sha256:${"cd".repeat(32)}` } },
    {
      name: "a digest of another kind",
      code: "DEPLOYMENT_UNPINNED",
      change: { reference: `${REPOSITORY}@md5:0`, digest: "md5:0" },
    },
    { name: "no signature", code: "DEPLOYMENT_UNSIGNED", change: { signature: "insecure" } },
    { name: "an unknown kind of signature", code: "DEPLOYMENT_UNSIGNED", change: { signature: "none" } },
  ];
  for (const { name, code, change } of refused)
    test(`refuses ${name}`, () =>
      expect(() => checkDeployment({ ...good, ...change }, REPOSITORY)).toThrow(expect.objectContaining({ code })));

  test("accepts ours by digest, with or without a tag beside it", () => {
    expect(() => checkDeployment(good, REPOSITORY)).not.toThrow();
    expect(() => checkDeployment({ ...good, reference: `${REPOSITORY}:1.0@${DIGEST}` }, REPOSITORY)).not.toThrow();
  });
});

describe("parseDeployments", () => {
  const image = {
    image: { image: good.reference, transport: "registry", signature: "containerPolicy" },
    version: "42",
    timestamp: null,
    imageDigest: DIGEST,
  };
  const host = (status: object) =>
    JSON.stringify({ apiVersion: "org.containers.bootc/v1", kind: "BootcHost", metadata: { name: "host" }, spec: {}, status });

  test("reads the deployments that the machine has", () =>
    expect(
      parseDeployments(host({ staged: null, booted: { image, pinned: false, ostree: { checksum: "00" } }, rollback: null })),
    ).toEqual({
      booted: good,
      staged: undefined,
      rollback: undefined,
    }));

  test("a remote's signature is no container policy", () =>
    expect(
      parseDeployments(
        host({ booted: { image: { ...image, image: { ...image.image, signature: { ostreeRemote: "fedora" } } } } }),
      ).booted?.signature,
    ).toBe("none"));

  for (const [name, text] of Object.entries({
    "no JSON": "x",
    "another version": JSON.stringify({ apiVersion: "org.containers.bootc/v2", kind: "BootcHost", status: {} }),
    "no status": JSON.stringify({ apiVersion: "org.containers.bootc/v1", kind: "BootcHost" }),
    "a deployment without a digest": host({ booted: { image: { ...image, imageDigest: null } } }),
    "a deployment without an image": host({ booted: { image: null } }),
  }))
    test(`refuses ${name}`, () =>
      expect(() => parseDeployments(text)).toThrow(expect.objectContaining({ code: "DEPLOYMENT_STATUS" })));

  test("returns or throws DeploymentError, nothing else", () =>
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          parseDeployments(host(Object(value)));
          parseDeployments(JSON.stringify(value));
        } catch (error) {
          expect(error).toBeInstanceOf(DeploymentError);
        }
      }),
    ));
});

describe("repositoryOf", () => {
  const policy = (docker: object, more: object = {}) =>
    JSON.stringify({ default: [{ type: "reject" }], transports: { docker, ...more } });
  test("is the one that the policy accepts", () => expect(repositoryOf(policy({ [REPOSITORY]: [] }))).toBe(REPOSITORY));
  for (const [name, text] of Object.entries({
    "two repositories": policy({ [REPOSITORY]: [], "other.example/x": [] }),
    "a whole registry": policy({ "registry.example": [] }),
    everything: policy({ "": [] }),
    "another transport": policy({ [REPOSITORY]: [] }, { "docker-daemon": {} }),
    "no rule": policy({}),
    "no JSON": "{",
  }))
    test(`refuses ${name}`, () =>
      expect(() => repositoryOf(text)).toThrow(expect.objectContaining({ code: "DEPLOYMENT_POLICY" })));
});

test("an image is staged by digest and under the signature policy", () =>
  expect(stageCommand(REPOSITORY, DIGEST).join(" ")).toBe(
    `bootc switch --enforce-container-sigpolicy --transport registry ${REPOSITORY}@${DIGEST}`,
  ));

describe("rootHashOf", () => {
  const hash = "ab".repeat(32);
  const rows: readonly { name: string; commandLine: string; root: string | undefined }[] = [
    { name: "no root hash", commandLine: "quiet\n", root: undefined },
    { name: "two", commandLine: `roothash=${hash} roothash=${hash}`, root: undefined },
    { name: "a short one", commandLine: "roothash=abab", root: undefined },
    { name: "an upper-case one", commandLine: `roothash=${hash.toUpperCase()}`, root: undefined },
    { name: "another setting that ends alike", commandLine: `usrroothash=${hash}`, root: undefined },
    { name: "one among others", commandLine: `quiet roothash=${hash} console=ttyS0\n`, root: hash },
  ];
  for (const { name, commandLine, root } of rows) test(name, () => expect(rootHashOf(commandLine)).toBe(root));
});
