// Asks for a passphrase at its terminal and prints what it got as JSON: run by terminal.test.ts below a terminal of its own.
import { newPassphrase, promptPassphrase } from "@secai/sign/passphrase";

const ask = process.argv[2] === "new" ? () => newPassphrase({}, "New passphrase: ") : () => promptPassphrase("Passphrase: ");
try {
  const passphrase = await ask();
  process.stdout.write(`${JSON.stringify({ hex: passphrase.toString("hex") })}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ code: (error as { code?: string }).code })}\n`);
}
