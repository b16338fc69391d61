/**
 * Files of the image that no package lists and nothing known generated, and why they may be there. Kept short on purpose: whatever
 * appears in the image beside these stops the build.
 */
export const declaredFiles: ReadonlyMap<string, string> = new Map([
  ["/etc/ca-certificates.conf", "Written by the maintainer script of ca-certificates: the authorities that are trusted."],
]);
