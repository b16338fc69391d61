import { engineContract } from "./engine-contract.ts";
import { localEngine } from "./local-engine.ts";

engineContract("local", localEngine);
