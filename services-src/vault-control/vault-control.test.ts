import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { VaultError } from "./errors.ts";
import { isIncidentId } from "./latches.ts";
import { isClosed, isExactlyOpen, type Marker, type Seen } from "./look.ts";
import { parseMountinfo } from "./mounts.ts";
import { parseRequest } from "./requests.ts";

const good = { action: "relock", incident_id: "INC-20260101-000000-0001", reason: "why" };
const malformed = [
  { name: "nothing", text: "" },
  { name: "an array", text: "[]" },
  { name: "another action", text: JSON.stringify({ ...good, action: "unlock" }) },
  { name: "an unknown member", text: JSON.stringify({ ...good, force: true }) },
  { name: "no reason", text: JSON.stringify({ ...good, reason: undefined }) },
  { name: "a member twice", text: `{"action":"release",${JSON.stringify(good).slice(1)}` },
  { name: "an id with a separator", text: JSON.stringify({ ...good, incident_id: "../x" }) },
  { name: "an id that is too long", text: JSON.stringify({ ...good, incident_id: "x".repeat(129) }) },
  { name: "a reason of two lines", text: JSON.stringify({ ...good, reason: "a\nb" }) },
  { name: "a second document", text: `${JSON.stringify(good)}{}` },
];
for (const { name, text } of malformed)
  test(`a vault request is refused with ${name}`, () => {
    expect(() => parseRequest(Buffer.from(text))).toThrow(expect.objectContaining({ code: "VAULT_REQUEST_MALFORMED" }));
  });
test("a vault request is read or refused by name, nothing else", () => {
  expect(parseRequest(Buffer.from(JSON.stringify(good)))).toEqual(good);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        try {
          parseRequest(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(VaultError);
        }
      },
    ),
  );
});

describe("names of incidents", () => {
  for (const name of ["", ".", "..", ".hidden", "a/b", "a b", "x".repeat(129), "a.new", "a\0"])
    test(`${JSON.stringify(name).slice(0, 20)} is none`, () => expect(isIncidentId(name)).toBe(false));
  for (const name of ["INC-20260101-000000-0001", "a", "A_b.c-9"])
    test(`${name} is one`, () => expect(isIncidentId(name)).toBe(true));
});

const marker: Marker = {
  schema: 1,
  source: "/vault.img",
  luks_uuid: "01234567-89ab-cdef-0123-456789abcdef",
  initialized_at: "2026-01-01T00:00:00Z",
};
const mount = {
  point: "/v",
  options: ["rw", "nosuid", "nodev", "noexec", "relatime"],
  type: "ext4",
  source: "/dev/mapper/secure-ai-vault",
};
const open: Seen = { mounts: [mount], mapperUuid: "CRYPT-LUKS2-0123456789abcdef0123456789abcdef-secure-ai-vault" };
const inexact: readonly { name: string; seen: Seen }[] = [
  { name: "nothing mounted", seen: { ...open, mounts: [] } },
  { name: "two mounts", seen: { ...open, mounts: [mount, mount] } },
  { name: "another source", seen: { ...open, mounts: [{ ...mount, source: "/dev/mapper/other" }] } },
  { name: "another file system", seen: { ...open, mounts: [{ ...mount, type: "tmpfs" }] } },
  { name: "read-only", seen: { ...open, mounts: [{ ...mount, options: ["ro", "nosuid", "nodev", "noexec"] }] } },
  { name: "programs may run", seen: { ...open, mounts: [{ ...mount, options: ["rw", "nosuid", "nodev"] }] } },
  { name: "devices", seen: { ...open, mounts: [{ ...mount, options: ["rw", "nosuid", "noexec"] }] } },
  { name: "another volume", seen: { ...open, mapperUuid: "CRYPT-LUKS2-ffffffffffffffffffffffffffffffff-secure-ai-vault" } },
  { name: "a mapping that is not encrypted", seen: { ...open, mapperUuid: "LVM-x" } },
  { name: "no mapping", seen: { ...open, mapperUuid: undefined } },
];
for (const { name, seen } of inexact)
  test(`with ${name} the vault is not exactly open`, () => {
    expect(isExactlyOpen(seen, { mapper: "secure-ai-vault" }, marker)).toBe(false);
  });
test("exactly open, and closed, are different things", () => {
  expect(isExactlyOpen(open, { mapper: "secure-ai-vault" }, marker)).toBe(true);
  expect(isClosed(open)).toBe(false);
  expect(isClosed({ mounts: [], mapperUuid: undefined })).toBe(true);
  expect(isClosed({ mounts: [], mapperUuid: "CRYPT-LUKS2-x" })).toBe(false);
});

test("mountinfo with optional fields, escapes and lines that are none", () => {
  const text = [
    "36 35 98:0 / /mnt\\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue",
    "37 35 0:5 / /proc rw - proc proc rw",
    "garbage",
    "",
  ].join("\n");
  expect(parseMountinfo(text)).toEqual([
    { point: "/mnt 2", options: ["rw", "noatime"], type: "ext3", source: "/dev/root" },
    { point: "/proc", options: ["rw"], type: "proc", source: "proc" },
  ]);
});
