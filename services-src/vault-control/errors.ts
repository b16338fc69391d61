import { type Catalogue, CodedError, type ErrorDetail } from "@secai/kit/errors";

export const vaultErrors = {
  VAULT_BUSY: {
    exit: 1,
    meaning: "The vault's file system cannot be unmounted: something still has a file of it open.",
    fix: "Find it with `fuser -vm /var/lib/secure-ai/vault`, end it, and lock again.",
  },
  VAULT_COMMAND: {
    exit: 3,
    meaning: "A program of the system that the vault needs failed or did not end in time.",
    fix: "Read what it said in the message.",
  },
  VAULT_CONTROL_BUSY: {
    exit: 3,
    meaning: "Another program is locking or unlocking the vault and did not end in time.",
    fix: "Look at secure-ai-vault-broker.service and at running vault-ctl commands.",
  },
  VAULT_EXISTS: {
    exit: 1,
    meaning: "A vault is already set up, or something lies where it would be.",
    fix: "Unlock the one that is there; a new one needs an empty place.",
  },
  VAULT_LATCHED: {
    exit: 1,
    meaning: "The vault was closed for an incident, and stays closed until the recovery ceremony of that incident is complete.",
    fix: "Run `secai recover` and follow it.",
  },
  VAULT_MARKER: {
    exit: 1,
    meaning: "The file that says which volume is the vault is not one that its setup wrote.",
    fix: "Treat it as tampered with; restore it from a backup.",
  },
  VAULT_MOUNT_UNEXPECTED: {
    exit: 1,
    meaning: "Something other than the opened vault, or the vault with other options, is mounted in its place.",
    fix: "Lock the vault, then look at /proc/self/mountinfo.",
  },
  VAULT_PASSPHRASE: {
    exit: 2,
    meaning: "No passphrase was given, or one that cannot be used.",
    fix: "Type it at the prompt or pass it on standard input: 12 to 4096 bytes without a newline.",
  },
  VAULT_REQUEST_ID: {
    exit: 1,
    meaning: "A vault request names another incident than its file does.",
    fix: "Look who may write requests: only the incident recorder should.",
  },
  VAULT_REQUEST_KIND: {
    exit: 1,
    meaning: "A vault request is no plain file with one name.",
    fix: "Look who may write requests: only the incident recorder should.",
  },
  VAULT_REQUEST_MALFORMED: {
    exit: 1,
    meaning: "A vault request is not the strict JSON that the contract describes.",
    fix: "Look who may write requests: only the incident recorder should.",
  },
  VAULT_REQUEST_MODE: {
    exit: 1,
    meaning: "Others than its writer may change or read a vault request.",
    fix: "Look who may write requests: only the incident recorder should.",
  },
  VAULT_REQUEST_NAME: {
    exit: 1,
    meaning: "A file among the vault requests is not named after an incident.",
    fix: "Look who may write requests: only the incident recorder should.",
  },
  VAULT_REQUEST_SIZE: {
    exit: 1,
    meaning: "A vault request is empty or larger than 4 KiB.",
    fix: "Look who may write requests: only the incident recorder should.",
  },
  VAULT_SETTINGS: {
    exit: 1,
    meaning: "The sealed settings of the vault are missing or malformed.",
    fix: "Boot the other slot or install the image again.",
  },
  VAULT_SETUP_REQUIRED: {
    exit: 3,
    meaning: "No vault is set up on this machine.",
    fix: "Run `vault-ctl setup --help`.",
  },
  VAULT_STILL_MOUNTED: {
    exit: 1,
    meaning: "The vault's file system is still mounted although it was unmounted.",
    fix: "Run the broker in the mount namespace of the host: its unit must have no private file systems.",
  },
  VAULT_STILL_OPEN: {
    exit: 1,
    meaning: "The vault's key is still in the kernel although its mapping was closed.",
    fix: "Find what holds the mapping with `dmsetup info secure-ai-vault`; powering off forgets the key for certain.",
  },
  VAULT_USAGE: { exit: 2, meaning: "vault-ctl was called with words that it does not know.", fix: "Run `vault-ctl --help`." },
  VAULT_WRONG_PASSPHRASE: { exit: 1, meaning: "The passphrase opens no slot of the vault.", fix: "Type it again." },
} as const satisfies Catalogue;

export type VaultErrorCode = keyof typeof vaultErrors;

export class VaultError extends CodedError<VaultErrorCode> {
  constructor(code: VaultErrorCode, detail?: ErrorDetail) {
    super(code, vaultErrors[code], detail);
  }
}
