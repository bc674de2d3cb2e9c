// fetch with a time limit, JSON in and out, and every failure as one kind of error.
import type { Fault } from "../protocol/wire";

const LIMIT_MS = 15_000;

/** A refused or failed request. `status` 0: no answer came. */
export class RequestError extends Error {
  constructor(
    readonly status: number,
    readonly fault: Fault,
  ) {
    super(fault.message);
  }
}

export interface Ask {
  method?: "GET" | "POST";
  body?: object;
  token?: string;
  /** Sends and takes cookies of another origin. */
  cookies?: boolean;
}

/** The answer's JSON, `null` if it has none. */
export async function ask<T>(url: string, what: Ask = {}): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (what.body) headers["content-type"] = "application/json";
  if (what.token) headers["authorization"] = `Bearer ${what.token}`;
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(url, {
      method: what.method ?? "GET",
      headers,
      body: what.body ? JSON.stringify(what.body) : null,
      credentials: what.cookies ? "include" : "same-origin",
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    body = await json(response);
  } catch {
    throw new RequestError(0, { code: "unavailable", message: "The service cannot be reached.", temporary: true });
  }
  if (!response.ok) throw new RequestError(response.status, problem(response, body));
  return body as T;
}

async function json(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function problem(response: Response, body: unknown): Fault {
  const said = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const word = (name: string): string | undefined => (typeof said[name] === "string" ? (said[name] as string) : undefined);
  const { status } = response;
  const seconds = Number(response.headers.get("retry-after"));
  const reason = word("reason");
  return {
    code: word("code") ?? (status >= 500 ? "internal" : "invalid"),
    ...(reason ? { reason } : {}),
    message: word("detail") ?? word("title") ?? `The service answered ${status}.`,
    temporary: status === 429 || status >= 500,
    ...(seconds > 0 ? { retry_after_ms: Math.min(seconds, 60) * 1000 } : {}),
  };
}

/** Whatever was thrown, as a fault to show. */
export function faultOf(error: unknown): Fault {
  if (error instanceof RequestError) return error.fault;
  const message = error instanceof Error ? error.message : String(error);
  return { code: "internal", message, temporary: true };
}
