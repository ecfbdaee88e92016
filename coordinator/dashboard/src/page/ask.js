// Requests to the coordinator. Unchanged answers are not sent again.

const known = new Map();
/** The most answers that are kept; the oldest is dropped first. */
const MOST = 40;

/** The answer of a path; throws its problem. The same answer is the same object. */
export async function get(path) {
  const before = known.get(path);
  const headers = { accept: "application/json", ...(before ? { "if-none-match": before.tag } : {}) };
  const response = await fetch(path, { headers });
  if (response.status === 304 && before) return before.value;
  if (!response.ok) {
    const problem = await response.json().catch(() => null);
    throw Object.assign(new Error(problem?.error?.message ?? `status ${response.status}`), { status: response.status });
  }
  const value = await response.json();
  const tag = response.headers.get("etag");
  known.delete(path);
  if (tag) known.set(path, { tag, value });
  if (known.size > MOST) known.delete(known.keys().next().value);
  return value;
}

/** Parameters of a request, where a `+` is no blank. */
export function parameters(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join("&");
}
