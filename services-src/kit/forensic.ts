// The forensic bundle as the verifier reads it, for whoever passes one on from the machine that it is about.
export { type ForensicBundle, MAX_FORENSIC_BYTES, verifyForensic } from "@secai/formats/forensic";
