import type { CodeEntry } from "./check-codes.ts";

const AGAIN = "Ask again, with a fresh nonce.";
const CONTAIN =
  "Take the machine off its work, keep it as it is for whoever looks into it, and install it again from a verified release.";
const LOOK =
  "Find out who changed it; a restart brings the sealed state back. Who could do this was root: treat the machine as taken.";
const EARLIER = "Restart the machine and ask again; if it stays, treat the machine as taken.";
const SITE = "If the site means it so, say so in the policy file; otherwise treat the machine as taken.";

/** Every code that a check of a machine can give besides the errors of parsers (docs/errors.md). Released codes keep their meaning. */
export const runtimeCodes = {
  // the quote
  TPM_ABSENT: {
    meaning: "The machine has no TPM, or its kernel no driver for it.",
    fix: "Only a machine with a TPM 2.0 can prove anything.",
  },
  QUOTE_SIGNATURE: { meaning: "Another key than the one shown signed the quote.", fix: AGAIN },
  QUOTE_NONCE: { meaning: "The quote answers another question: it is old, or somebody else's.", fix: AGAIN },
  QUOTE_PCRS: { meaning: "The PCR values shown are not those that were quoted.", fix: AGAIN },
  PCR_NOT_QUOTED: { meaning: "The quote leaves out a PCR that matters.", fix: "Use the collector of the release." },
  AK_ATTRIBUTES: {
    meaning: "The attestation key would sign anything, or could leave its TPM.",
    fix: "Use the collector of the release.",
  },
  AK_UNKNOWN: {
    meaning: "The attestation key is none of the enrolled ones: another machine answers, or its TPM was replaced.",
    fix: "Ask the right machine, or enrol this one where you can see it.",
  },
  AK_UNPROVED: {
    meaning: "Nobody has asked the machine to prove that its attestation key lies in the certified TPM.",
    fix: "Ask with --remote, or enrol the key.",
  },
  AK_ELSEWHERE: {
    meaning: "The machine could not open what only the TPM with both keys opens: its attestation key lies elsewhere.",
    fix: CONTAIN,
  },
  EK_MISSING: {
    meaning: "The machine's answer has no endorsement key: its collector is of an earlier release.",
    fix: "Update the machine.",
  },
  EK_CERTIFICATE_MISSING: {
    meaning: "The TPM holds no certificate of its maker.",
    fix: "Enrol the machine's attestation key where you can see it.",
  },
  EK_CERTIFICATE_KEY: { meaning: "The certificate is for another endorsement key than the one shown.", fix: CONTAIN },
  EK_CERTIFICATE_PURPOSE: { meaning: "The certificate is not one for an endorsement key.", fix: CONTAIN },
  EK_CERTIFICATE_EXPIRED: {
    meaning: "The endorsement key's certificate is not valid now.",
    fix: "Check this machine's clock; then ask the TPM's maker.",
  },
  EK_CERTIFICATE_CHAIN: {
    meaning: "The certificate does not lead to a TPM maker that the site trusts.",
    fix: "Add the maker's certificates to the policy file, if they are the right ones.",
  },
  // the boot
  SECURE_BOOT_OFF: {
    meaning: "The machine booted with Secure Boot off.",
    fix: "Switch Secure Boot on in the firmware and restart.",
  },
  SECURE_BOOT_KEYS: { meaning: "Firmware holds or used other Secure Boot keys than the release's.", fix: SITE },
  BOOT_CHAIN: { meaning: "Firmware loaded another boot loader or kernel image, or something besides.", fix: CONTAIN },
  BOOT_NOT_COMPLETE: { meaning: "The machine is still starting.", fix: "Wait until it has come up, then ask again." },
  BOOT_UKI: {
    meaning: "Another kernel, initrd or command line was booted than the release's.",
    fix: "Verify against the release that the machine should run; if it is this one, treat the machine as taken.",
  },
  BOOT_ADDON_PRESENT: { meaning: "An addon, credential or extension lies in the ESP and was loaded.", fix: SITE },
  BOOT_ADDON: { meaning: "Another addon, credential or extension was loaded than the site's policy expects.", fix: SITE },
  COMMAND_LINE: { meaning: "The kernel's command line is not what was measured.", fix: CONTAIN },
  BOOT_INITRD: { meaning: "The kernel was handed another initrd or command line than the release's.", fix: SITE },
  EVENT_LOG_MISSING: {
    meaning: "Firmware or systemd kept no log of what was measured.",
    fix: "Check the firmware's TPM settings.",
  },
  EVENT_LOG_REPLAY: {
    meaning: "The logs do not lead to the quoted values: something was measured that they do not tell, or they were edited.",
    fix: EARLIER,
  },
  ROOT_CORRUPTED: {
    meaning: "Blocks of the root file system were changed on the disk.",
    fix: "Let the machine fall back to its other slot, or install it again.",
  },
  ROOT_UNVERIFIED: { meaning: "The root file system is not below dm-verity.", fix: CONTAIN },
  ROOT_HASH: { meaning: "The root file system is another one than the release's.", fix: CONTAIN },
  ROOT_WRITABLE: { meaning: "The root file system is mounted writable.", fix: CONTAIN },
  RELEASE_VERSION: {
    meaning: "The machine says that it runs another version.",
    fix: "Verify against that release, or update the machine.",
  },
  SERVICES_UNKNOWN: { meaning: "The machine's list of services names one that the release does not have.", fix: CONTAIN },
  // the running system
  BASELINE_MISSING: {
    meaning: "The release has no baseline that the machine could be compared with.",
    fix: "Get the release whole.",
  },
  BASELINE_OTHER_IMAGE: { meaning: "The baseline is of another image than the measurements.", fix: "Get the release again." },
  STATE_MISSING: {
    meaning: "The machine tells of its boot alone: its collector is of an earlier release.",
    fix: "Update the machine, or ask against --measurements.",
  },
  BUNDLE_CHANGED: { meaning: "A service bundle or program of ours has other content than the release's.", fix: LOOK },
  BUNDLE_UNKNOWN: { meaning: "A program lies among ours that the release does not have.", fix: LOOK },
  BUNDLE_MISSING: { meaning: "A service bundle or program of ours is gone.", fix: LOOK },
  POLICY_CHANGED: { meaning: "A policy file has other content than the release's.", fix: LOOK },
  POLICY_UNKNOWN: { meaning: "A policy file is there that the release does not have.", fix: LOOK },
  POLICY_MISSING: { meaning: "A policy file is gone.", fix: LOOK },
  FIREWALL_FILE: { meaning: "The ruleset file has other content than the release's.", fix: LOOK },
  FIREWALL_RULES: { meaning: "Other firewall rules are in force than the ruleset file gives.", fix: LOOK },
  SYSCTL_VALUE: { meaning: "A kernel setting has another value than the release's.", fix: LOOK },
  SYSCTL_UNREPORTED: { meaning: "The machine does not tell the value of a kernel setting.", fix: LOOK },
  SYSCTL_CHANGED: { meaning: "A file of kernel settings has other content than the release's.", fix: LOOK },
  SYSCTL_UNKNOWN: { meaning: "A file of kernel settings is there that the release does not have.", fix: LOOK },
  SYSCTL_MISSING: { meaning: "A file of kernel settings is gone.", fix: LOOK },
  LISTENER_UNEXPECTED: {
    meaning: "A socket listens that the release does not have, or another unit holds a service's.",
    fix: LOOK,
  },
  LISTENER_MISSING: {
    meaning: "A service of the release does not listen.",
    fix: "Look at the service's log; it may have refused to start.",
  },
  MOUNT_UNEXPECTED: { meaning: "Something is mounted over the sealed root or an interface of the kernel.", fix: LOOK },
  EXTENSION_FOREIGN: { meaning: "Something lies over /usr that is no extension of the release.", fix: CONTAIN },
  EXTENSION_HASH: { meaning: "A merged extension is not below dm-verity with the release's root hash.", fix: CONTAIN },
  EXTENSION_CORRUPTED: {
    meaning: "Blocks of a merged extension were changed on the disk.",
    fix: "Restart the machine, which then leaves the extension out; install the image or its update again.",
  },
  MODULE_UNKNOWN: { meaning: "A kernel module is loaded that the release does not have.", fix: CONTAIN },
  MODULE_BARRED: { meaning: "A kernel module is loaded that the release forbids.", fix: LOOK },
  MODPROBE_CHANGED: { meaning: "A file of rules for modules has other content than the release's.", fix: LOOK },
  MODPROBE_UNKNOWN: { meaning: "A file of rules for modules is there that the release does not have.", fix: LOOK },
  MODPROBE_MISSING: { meaning: "A file of rules for modules is gone.", fix: LOOK },
  KERNEL_TAINTED: { meaning: "The kernel runs code that was not built with it.", fix: CONTAIN },
  PROCESS_FOREIGN: { meaning: "A program runs that is not in the sealed root.", fix: LOOK },
  CODE_FOREIGN: { meaning: "A process runs code from a file that is not in the sealed root.", fix: LOOK },
  SHELL_ON_TERMINAL: { meaning: "A process holds a terminal; nothing of the release does.", fix: LOOK },
  SHELL_UNIT: { meaning: "A unit that gives a shell or a login is active.", fix: LOOK },
  UNIT_UNKNOWN: { meaning: "A unit is loaded that is not the release's.", fix: SITE },
  UNIT_CHANGED: { meaning: "A unit's file has other content than the release's.", fix: LOOK },
  UNIT_FILE_UNKNOWN: { meaning: "A file in /run would add, mask or change a unit.", fix: SITE },
  UNIT_FAILED: { meaning: "A unit has failed.", fix: "Look at the unit's log with journalctl; then restart the machine." },
  DROP_IN_UNKNOWN: { meaning: "A drop-in that is not the release's changes a unit.", fix: LOOK },
  DROP_IN_CHANGED: { meaning: "A drop-in has other content than the release's.", fix: LOOK },
} as const satisfies Readonly<Record<string, CodeEntry>>;
export type RuntimeCode = keyof typeof runtimeCodes;
