import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { join, relative } from "node:path";

/** e_machine by what UEFI calls the architecture (ELF gABI, chapter 4, and its register of machines). */
const MACHINES: ReadonlyMap<string, number> = new Map([
  ["x64", 62],
  ["aa64", 183],
]);
/** Programs for the kernel's own virtual machine: the same on every processor. */
const EM_BPF = 247;

const MACHINE_AT = 18;

/** e_machine of an ELF file, undefined for every other file. */
export function elfMachine(path: string): number | undefined {
  const header = Buffer.alloc(MACHINE_AT + 2);
  const descriptor = openSync(path, "r");
  try {
    if (readSync(descriptor, header, 0, header.length, 0) < header.length) return undefined;
  } finally {
    closeSync(descriptor);
  }
  return header.toString("latin1", 0, 4) === "\x7fELF" ? header.readUInt16LE(MACHINE_AT) : undefined;
}

/** Files below `folder` that are programs or libraries for another processor than `architecture` ("x64", "aa64"), sorted. */
export function foreignPrograms(folder: string, architecture: string): readonly string[] {
  const own = MACHINES.get(architecture);
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const foreign = files.flatMap(({ parentPath, name }) => {
    const machine = elfMachine(join(parentPath, name));
    return machine === undefined || machine === own || machine === EM_BPF ? [] : [relative(folder, join(parentPath, name))];
  });
  return foreign.sort();
}

/** @throws Error naming the first of them: such an image would boot and then lack what they are for */
export function requireOwnPrograms(folder: string, architecture: string): void {
  const foreign = foreignPrograms(folder, architecture);
  if (foreign.length > 0)
    throw new Error(`${foreign.length} programs are not for ${architecture}: ${foreign.slice(0, 5).join(", ")}`);
}
