// The stack under test: a gateway of it is killed and started again, by its pid and by xtask. Set by `cargo xtask test`:
//   PARLOR_XTASK  the running xtask      PARLOR_STATE, PARLOR_PORT_OFFSET  which stack
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const RESTART_MS = 60_000;
const run = promisify(execFile);

/** The stack that the environment names, or null where the services were started in another way. */
export function stack() {
  const { PARLOR_XTASK: xtask, PARLOR_STATE: state, PARLOR_PORT_OFFSET: offset } = process.env;
  return xtask && state && offset ? { xtask, state, offset } : null;
}

/** `kill -9` to the process itself. */
export async function kill({ state }, name) {
  const pid = Number(await readFile(join(state, "run", `${name}.pid`), "utf8"));
  if (!Number.isInteger(pid) || pid <= 1) throw new Error(`${name}.pid holds no pid`);
  process.kill(pid, "SIGKILL");
}

/** Starts it again and waits until it is ready. */
export async function restart({ xtask, state, offset }, name) {
  await run(xtask, ["restart", name, "--state", state, "--port-offset", offset], { timeout: RESTART_MS });
}
